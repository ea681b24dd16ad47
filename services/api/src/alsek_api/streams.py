"""Long answers: who may hold how many of them, and how they are sent without ever being left behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from alsek.logging import get_logger
from alsek_api.problems import Problem, problem_response, too_many

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from alsek.storage.backends.redis.async_subscriber import AsyncSubscription
    from alsek_api.auth.keys import Principal
    from alsek_api.settings import ApiSettings

log = get_logger("alsek.api")

#: Seconds that a client waits before it comes back; told at the beginning of a stream.
_RETRY_MS: Final = 1_000


class Streams:
    """Slots for event streams and long polls, by key and in all.

    Args:
        settings: How many there are.
    """

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._held: Counter[str] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """How many are held."""
        return self._total

    @contextmanager
    def slot(self, principal: Principal) -> Iterator[None]:
        """Hold a slot for the length of a `with` block.

        Raises:
            Problem: 429: the key holds all it may; 503: the service does.
        """
        most = self._settings.max_streams_per_key if principal.streams is None else principal.streams
        if self._held[principal.id] >= most:
            raise too_many(f"This key holds {most} streams and long polls, as many as it may.", 5)
        if self._total >= self._settings.max_streams:
            raise Problem(
                503, "This service holds as many streams as it may.", kind="unavailable", headers={"Retry-After": "5"}
            )
        self._held[principal.id] += 1
        self._total += 1
        try:
            yield
        finally:
            self._total -= 1
            self._held[principal.id] -= 1
            if not self._held[principal.id]:
                del self._held[principal.id]


class EventStream(Response):
    """Server-Sent Events (HTML Living Standard, 9.2).

    The slot is taken when the response begins to be sent and given back when that ends, however it ends.

    Args:
        streams: Gives the slot.
        principal: Who listens.
        settings: Heartbeat, lifetime and patience.
        listen: Opens the subscription.
        events: Gives what is sent, as bytes: made of the subscription, empty for a heartbeat.
    """

    def __init__(
        self,
        streams: Streams,
        principal: Principal,
        settings: ApiSettings,
        listen: Callable[[], AsyncSubscription],
        events: Callable[[AsyncSubscription], AsyncIterator[bytes]],
    ) -> None:
        super().__init__(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        del self.headers["content-length"]
        self._streams = streams
        self._principal = principal
        self._settings = settings
        self._listen = listen
        self._events = events

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send until the events end, the client goes or does not read, the time is over, or the service ends."""
        try:
            with self._streams.slot(self._principal):
                async with self._listen() as subscription:
                    await self._send_all(subscription, receive, send)
        except SlowReaderError:
            log.info("stream.dropped", key=self._principal.id, advice="its client reads nothing")
            # What waits to be sent never will be: closing in order would wait for it.
            abort = scope.get("extensions", {}).get("alsek.abort")
            if abort is not None:
                abort()
        except Problem as problem:
            request_id = str(scope.get("state", {}).get("request_id", ""))
            await problem_response(problem, request_id)(scope, receive, send)

    async def _send_all(self, subscription: AsyncSubscription, receive: Any, send: Any) -> None:
        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            subscription.close()

        watching = asyncio.create_task(watch())
        try:
            await self._say(send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._say(send, _part(f"retry: {_RETRY_MS}\n\n".encode()))
            with suppress(TimeoutError):  # its time is over: the client comes back
                async with asyncio.timeout(self._settings.stream_lifetime_s):
                    async for event in self._events(subscription):
                        await self._say(send, _part(event or b": alive\n\n"))
            await self._say(send, {"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _say(self, send: Any, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._settings.send_timeout_s):
                await send(message)
        except TimeoutError:
            raise SlowReaderError from None


class SlowReaderError(Exception):
    """A client reads nothing any more."""


def event_text(kind: str, data: bytes, event_id: str) -> bytes:
    """Give an event as it is sent.

    Args:
        kind: Of event.
        data: One line of JSON.
        event_id: What a client says in `Last-Event-ID` when it comes back.
    """
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id.encode(), kind.encode(), data)


def _part(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}
