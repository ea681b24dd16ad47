"""Live pages: one look a second for everybody who watches, and a stream that says no more than that something changed.

The page then fetches itself anew, so that what it shows comes by one road only, with the reader's own rights.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from alsek.exceptions import AlsekError, MessageDoesNotExistsError
from alsek.logging import get_logger
from alsek_api.problems import Problem, problem_response

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from alsek_api.auth.keys import Principal
    from alsek_api.service import Service

log = get_logger("alsek.api")

#: A look at all queues costs a few round trips: once a second is live for people.
_PAUSE_S: Final = 1.0

#: Whoever watches hears at least so often, seconds: ages and estimates move although no count does.
_LONGEST_SILENCE_S: Final = 10.0

#: What a stream is about, if not about one message.
EVERYTHING: Final = ""


class Publisher:
    """Looks while somebody watches; lives on the event loop of the service.

    Args:
        service: Whose queues.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._watched: Counter[str] = Counter()
        self._seen: dict[str, Hashable] = {}
        self._versions: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._work: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, topic: str) -> Iterator[None]:
        """Watch a topic for the length of a `with` block."""
        self._watched[topic] += 1
        if self._work is None:
            self._work = asyncio.create_task(self._look_on(), name="alsek-dashboard-live")
        try:
            yield
        finally:
            self._leave(topic)

    async def seen(self, topic: str) -> None:
        """Wait until a topic was looked at: from then on no change of it is missed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_SILENCE_S), self._changed:
                await self._changed.wait_for(lambda: topic in self._seen)

    def version(self, topic: str) -> int:
        """Give how often a topic changed since it is watched."""
        return self._versions[topic]

    async def wait(self, topic: str, seen: int, seconds: float) -> int:
        """Wait until a topic changes, no longer than told; gives its version."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._versions[topic] != seen)
        return self._versions[topic]

    def _leave(self, topic: str) -> None:
        self._watched[topic] -= 1
        if not self._watched[topic]:
            del self._watched[topic]
            self._seen.pop(topic, None)
            self._versions.pop(topic, None)
        if not self._watched and self._work is not None:
            self._work.cancel()
            self._work = None

    async def _look_on(self) -> None:
        while True:
            began = time.monotonic()
            try:
                for topic in list(self._watched):
                    self._note(topic, await self._service.ask(self._look, topic))
            except AlsekError as error:
                log.debug("live.blind", error=str(error))
            async with self._changed:
                self._changed.notify_all()
            # A look that takes long is repeated less often: watching must not be the load.
            await asyncio.sleep(max(_PAUSE_S, 4 * (time.monotonic() - began)))

    def _note(self, topic: str, sight: Hashable) -> None:
        if topic in self._watched and self._seen.get(topic, sight) != sight:
            self._versions[topic] += 1
        if topic in self._watched:
            self._seen[topic] = sight

    def _look(self, topic: str) -> Hashable:
        inspector = self._service.inspector
        if topic == EVERYTHING:
            return tuple((q.name, q.ready, q.delayed, q.running, q.dead, q.paused) for q in inspector.queues())
        try:
            return repr(inspector.message(topic))
        except MessageDoesNotExistsError:
            return None


class LiveStream(Response):
    """A stream of `changed` events, until the page goes, or its time is over.

    Args:
        service: Whose bounds count.
        publisher: Says when something changed.
        principal: Who watches.
        topic: What is watched.
    """

    def __init__(self, service: Service, publisher: Publisher, principal: Principal, topic: str) -> None:
        super().__init__(
            media_type="text/event-stream", headers={"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        )
        del self.headers["content-length"]
        self._service = service
        self._publisher = publisher
        self._principal = principal
        self._topic = topic

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send, as long as somebody listens."""
        try:
            with self._service.streams.slot(self._principal), self._publisher.watch(self._topic):
                works = [asyncio.create_task(self._tell(send)), asyncio.create_task(_until_gone(receive))]
                try:
                    await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for work in works:
                        work.cancel()
                    await asyncio.gather(*works, return_exceptions=True)
        except Problem as problem:  # too many watch, with this key or in all
            await problem_response(problem)(scope, receive, send)

    async def _tell(self, send: Any) -> None:
        settings = self._service.settings
        ends = time.monotonic() + settings.stream_lifetime_s
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})

        async def say(text: str) -> None:
            async with asyncio.timeout(settings.send_timeout_s):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        await say("retry: 2000\n\n")
        await self._publisher.seen(self._topic)
        version, told = self._publisher.version(self._topic), time.monotonic()
        await say(f"event: changed\ndata: {version}\n\n")  # for what happened since the page was made
        while time.monotonic() < ends and not self._service.stopping:
            now = await self._publisher.wait(self._topic, version, _PAUSE_S)
            if now != version or time.monotonic() - told >= _LONGEST_SILENCE_S:
                version, told = now, time.monotonic()
                await say(f"event: changed\ndata: {version}\n\n")
        await say("event: bye\ndata:\n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
