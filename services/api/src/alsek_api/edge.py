"""The edge: what is done to every request and response alike, in one layer so that it costs little.

A request id, bounds on the body and on the time it takes, security headers, one line in the log, the metrics; and an
end for whatever went wrong inside.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from alsek.core.ids import new_uuid
from alsek.logging import get_logger
from alsek_api.problems import MEDIA_TYPE, Problem, encode_problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from alsek_api.settings import ApiSettings

    Message = MutableMapping[str, Any]
    App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]
    Observe = Callable[[str, str, int, float], None]

log = get_logger("alsek.api")
access = get_logger("alsek.api.access")
audit = get_logger("alsek.api.audit")

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")

#: Of every response, unless a route says otherwise. Pages of the dashboard bring a policy of their own.
HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)
_STRICT_TRANSPORT: Final = (b"strict-transport-security", b"max-age=31536000")

#: How long the rest of a body that is too large is let pass, seconds.
_DRAIN_S: Final = 1.0

#: Paths whose bodies may be larger.
_BATCH: Final = "/v1/messages:batch"


class Edge:
    """Wraps the whole application.

    Args:
        app: What is wrapped.
        settings: The bounds.
        observe: Told method, route, status and seconds of every request.
    """

    def __init__(self, app: App, settings: ApiSettings, observe: Observe) -> None:
        self._app = app
        self._settings = settings
        self._observe = observe

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._settings)
        try:
            await exchange.check_length()
            await self._app(scope, exchange.receive, exchange.send)
        except Problem as problem:
            await exchange.refuse(problem)
        except Exception:
            # The application has answered with a 500 where it could; this is the place where it is told to people.
            log.exception("request.broke", request_id=exchange.request_id, path=scope["path"])
            await exchange.refuse(Problem(500, "Something went wrong here; the log of the service says what."))
        finally:
            self._tell(scope, exchange)

    def _tell(self, scope: MutableMapping[str, Any], exchange: _Exchange) -> None:
        seconds = time.monotonic() - exchange.began
        route = getattr(scope.get("route"), "path", None) or "other"
        self._observe(scope["method"], route, exchange.status, seconds)
        state = scope["state"]
        principal = state.get("principal")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            audit.info(
                "change.asked",
                request_id=exchange.request_id,
                action=f"{scope['method']} {route}",
                status=exchange.status,
                key=principal.id if principal is not None else "",
                key_name=principal.name if principal is not None else "",
                client=scope["client"][0] if scope.get("client") else "",
                **state.get("facts", {}),
            )
        access.info(
            "request.served",
            request_id=exchange.request_id,
            method=scope["method"],
            path=scope["path"],
            status=exchange.status,
            ms=round(seconds * 1000, 1),
            bytes_in=exchange.size,
            client=scope["client"][0] if scope.get("client") else "",
            key=principal.id if principal is not None else "",
        )


class _Exchange:
    """One request and its response, as they pass."""

    __slots__ = (
        "_deadline", "_limit", "_receive", "_scope", "_send", "_settings", "_whole", "began", "request_id", "size",
        "status",
    )  # fmt: skip

    def __init__(self, scope: MutableMapping[str, Any], receive: Any, send: Any, settings: ApiSettings) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._settings = settings
        self._limit = settings.max_batch_bytes if scope["path"] == _BATCH else settings.max_body_bytes
        self._deadline: float | None = None
        self._whole = False
        self.began = time.monotonic()
        self.size = 0
        self.status = 0
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        self.request_id = given.decode() if _REQUEST_ID.fullmatch(given) else new_uuid()
        scope.setdefault("state", {})["request_id"] = self.request_id

    async def check_length(self) -> None:
        """Refuse a body that says itself that it is too large.

        Raises:
            Problem: 413.
        """
        for name, value in self._scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > self._limit:
                await self._drain()
                raise self._too_large()

    async def receive(self) -> Message:
        """Give the next part of the body, within its bounds.

        Raises:
            Problem: 413, 408.
        """
        if self._whole or self.status:  # whoever asks now waits for the client to go
            message: Message = await self._receive()
            return message
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._settings.read_timeout_s
        try:
            async with asyncio.timeout(max(0.0, self._deadline - now)):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                408, "The body did not arrive in time.", kind="too-slow", headers={"Connection": "close"}
            ) from None
        self.size += len(message.get("body", b""))
        if self.size > self._limit:
            if message.get("more_body", False):
                await self._drain()
            raise self._too_large()
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the response on, with our headers at its beginning."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.setdefault("headers", [])
            present = {name for name, _ in headers}
            headers += [header for header in HEADERS if header[0] not in present]
            if self._scope["scheme"] == "https":
                headers.append(_STRICT_TRANSPORT)
            headers.append((b"x-request-id", self.request_id.encode()))
            for name, value in self._scope["state"].get("budget", {}).items():
                headers.append((name.lower().encode(), value.encode()))
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        """Answer with a problem, if nothing was answered yet."""
        if self.status:
            return
        body = encode_problem(problem, self.request_id)
        headers = [(name.lower().encode(), value.encode()) for name, value in (problem.headers or {}).items()]
        headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": problem.status_code, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _drain(self) -> None:
        """Let some of the rest pass: who is still sending when the connection closes never reads the answer."""
        left = self._limit
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                while left > 0:
                    message = await self._receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        self._whole = True

    def _too_large(self) -> Problem:
        return Problem(
            413,
            f"The body has more than the {self._limit:,} bytes that are allowed here.",
            kind="body-too-large",
            headers={"Connection": "close"},
        )
