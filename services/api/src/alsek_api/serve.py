"""How the service listens: uvicorn, with bounds for clients that are slow, many, or talk too much."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from contextlib import contextmanager
from errno import EADDRINUSE
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from alsek.exceptions import ValidationError
from alsek.logging import get_logger
from alsek_api.app import create_app
from alsek_api.problems import MEDIA_TYPE, Problem, encode_problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from alsek_api.auth.store import KeyStore
    from alsek_api.settings import ApiSettings

log = get_logger("alsek.api")

#: Bytes of a request line and headers: above what browsers and proxies send.
_MOST_HEADER_BYTES: Final = 65_536

#: Seconds for which a refused client may go on sending before its connection is closed.
_LINGER_S: Final = 1.0

#: Seconds for which an idle connection is kept.
_KEEP_ALIVE_S: Final = 30


#: Connections that wait to be accepted.
_BACKLOG: Final = 1_024

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class NotLoopbackError(ValidationError):
    """There is no key, so the service may listen on this machine only."""


def serve(settings: ApiSettings) -> int:
    """Listen until a signal comes.

    Returns:
        0 after an orderly end.

    Raises:
        NotLoopbackError: No key, and others than this machine could connect.
        ValidationError: The port is taken.
        BackendError: Redis cannot be asked for the keys.
    """
    app = create_app(settings)
    service = app.state.service
    _check_exposure(settings, service.keys)
    listening = _bind(settings)
    config = uvicorn.Config(
        app,
        http=_bounded(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.drain_timeout_s) or 1,
        backlog=_BACKLOG,
    )
    _Server(config, service).run([listening])
    log.info("api.ended")
    return 0


class _Server(uvicorn.Server):
    """Ends the streams as soon as it is told to end, which they would hold up; and ends well after a signal."""

    def __init__(self, config: uvicorn.Config, service: Any) -> None:
        super().__init__(config)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.stop)
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals, and do not die of them afterwards as uvicorn does: a wanted end is no failure."""
        former = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say where."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{port}"
            log.info("api.listening", url=url, namespace=self._service.settings.namespace)
            if sys.stderr.isatty() and not log.enabled(logging.INFO):  # a person has to know, whatever is logged
                sys.stderr.write(f"Alsek listens on {url}\n")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._service.stop()
        await super().shutdown(sockets)


def _check_exposure(settings: ApiSettings, keys: KeyStore) -> None:
    if settings.insecure_no_auth:
        log.warning("api.without_auth", advice="everybody who can connect may do everything here")
        return
    if keys.all():
        return
    if not settings.on_loopback:
        raise NotLoopbackError(
            f"there is no API key yet, so {settings.host} would be open to everybody: make one with "
            "`alsek api keys create NAME --scope admin`, or say --insecure-no-auth"
        )
    log.warning(
        "api.open_on_loopback",
        advice="no key exists: programs of this machine may do everything; `alsek api keys create` closes it",
    )


def _bind(settings: ApiSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    host = settings.host.strip("[]")
    try:
        try:
            listening.bind((host, settings.port))
        except OSError as error:
            if error.errno != EADDRINUSE or not settings.any_port:
                raise
            listening.bind((host, 0))
        # From here on nobody else gets this port.
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ValidationError(f"cannot listen on {settings.host} port {settings.port}: {error}") from None
    return listening


def _bounded(settings: ApiSettings) -> type[HttpToolsProtocol]:
    class Bounded(_BoundedProtocol):
        patience_s = settings.read_timeout_s
        most = settings.max_connections

    return Bounded


class _BoundedProtocol(HttpToolsProtocol):
    """A connection whose headers have to arrive in time and in bounds, and of which there are not too many."""

    patience_s: float
    most: int
    _clock: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, or close it at once."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._refuse(503, "There are too many connections.", "unavailable")
            return
        self._clock = self.loop.call_later(self.patience_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read, as long as the headers stay in their bounds."""
        if self._refused:
            return
        if self._header_bytes >= 0:
            self._header_bytes += len(data)
            # Also what follows in the same piece counts here; a body comes in pieces of its own when it is large.
            if self._header_bytes > _MOST_HEADER_BYTES and b"\r\n\r\n" not in data[:_MOST_HEADER_BYTES]:
                self._refuse(431, "The headers are too large.", "headers-too-large")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.scope["extensions"] = {"alsek.abort": self.transport.abort}  # type: ignore[dict-item]  # ours
        if self._clock is None:
            self._clock = self.loop.call_later(self.patience_s, self._too_slow)

    def on_headers_complete(self) -> None:
        """Its headers are whole: from here on the edge watches the body."""
        self._stop_clock()
        self._header_bytes = -1
        super().on_headers_complete()
        self.cycle.transport = _OneWrite(self.transport, self.loop)  # type: ignore[assignment]  # all it needs of one

    def on_message_complete(self) -> None:
        """It is whole."""
        self._header_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, in the form of all refusals."""
        self._refuse(400, msg, "malformed")

    def _too_slow(self) -> None:
        self._clock = None
        self._refuse(408, "The headers did not arrive in time.", "too-slow")

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _refuse(self, status: int, detail: str, kind: str) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_clock()
        if getattr(self.cycle, "response_complete", True) is False:
            self.transport.close()  # in the middle of an answer: nothing can be said any more
            return
        body = encode_problem(Problem(status, detail, kind=kind))
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
            "x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        if status == 503 or not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closing while the client still sends would take the answer from it: what comes now is thrown away.
        self.transport.write_eof()
        self._clock = self.loop.call_later(_LINGER_S, self.transport.close)


class _OneWrite:
    """A transport for one response: what is written in one turn of the loop, head and body mostly, leaves together.

    Args:
        transport: Of the connection.
        loop: Its loop.
    """

    __slots__ = ("_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""

    def write(self, data: bytes) -> None:
        """Send, with what follows at once."""
        if self._held:
            self._transport.write(self._held + data)
            self._held = b""
        else:
            self._held = data
            self._loop.call_soon(self._flush)

    def is_closing(self) -> bool:
        """Tell whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection when all is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)


_PHRASES: Final = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
