"""One asyncio connection to Redis that carries the commands of many callers, in order, in as few writes as possible.

redis-py's asyncio connection serves one caller at a time and costs some 100 µs a command; this one has a protocol of
its own below 10. It reads its settings from an unconnected connection of redis-py, and speaks RESP2, in which scripts
answer the same.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any

import hiredis
from redis import exceptions as redis_errors

from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis.errors import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek.storage.backends.redis.link import Argument


class Wire(asyncio.Protocol):
    """A connection that is up; made by `open_wire`.

    What is sent in one turn of the loop leaves in one write. Every command sent has its place in a queue until its
    reply is there, whether somebody still waits for it or not: a cancelled caller shifts nothing.

    Args:
        patience_s: Silence while replies are due that counts as a dead connection; `None`: any silence is fine.
    """

    def __init__(self, patience_s: float | None) -> None:
        self.loaded: set[bytes] = set()
        """Digests of the scripts that went over this wire."""
        self.usable = True
        """Whether new commands may be sent here."""
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(protocolError=redis_errors.InvalidResponse, replyError=_reply_error)
        self._unsent: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._due: deque[asyncio.Future[Any]] = deque()
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._patience_s = patience_s
        self._heard_at = 0.0
        self._ending = "the connection was closed"
        self._watch: asyncio.TimerHandle | None = None

    def ask(self, packed: bytes) -> asyncio.Future[Any]:
        """Send a command at the end of this turn of the loop.

        Returns:
            The reply (an error reply is a value, too); or the exception that ended the connection, with `sent` telling
            whether the command had left.
        """
        reply: asyncio.Future[Any] = self._loop.create_future()
        if not self.usable:
            reply.set_exception(WireBrokenError(self._ending, sent=False))
            return reply
        if not self._unsent and not self._paused:
            self._loop.call_soon(self.flush)
        self._unsent.append((packed, reply))
        return reply

    def flush(self) -> None:
        """Send what has been asked by now, instead of at the end of the turn."""
        if self._paused or self._transport is None or self._transport.is_closing():
            return
        parts = []
        waiting = bool(self._due)
        for packed, future in self._unsent:
            if not future.cancelled():  # nobody wants it any more, and Redis never heard of it
                parts.append(packed)
                self._due.append(future)
        self._unsent.clear()
        if not parts:
            return
        if not waiting:
            self._heard_at = self._loop.time()
        if self._watch is None and self._patience_s is not None:
            self._watch = self._loop.call_later(self._patience_s, self._look)
        self._transport.write(b"".join(parts) if len(parts) > 1 else parts[0])

    def retire(self) -> None:
        """Take no new commands, and close as soon as what was sent has its replies."""
        self.usable = False
        if not self._due and not self._unsent:
            self.close()

    def close(self) -> None:
        """Close at once; whatever has no reply yet is told."""
        self.usable = False
        if self._transport is not None:
            self._transport.abort()

    # -- called by the loop --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # TCP, TLS or unix
        """Remember the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand the replies out, in the order of the commands."""
        reader, due = self._reader, self._due
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not False:
                if not due:  # a farewell, such as "max number of clients reached"
                    self._ending = str(reply)
                    self.close()
                    return
                future = due.popleft()
                if not future.done():
                    future.set_result(reply)
                reply = reader.gets()
        except redis_errors.InvalidResponse as error:
            self._ending = f"this does not speak like Redis: {error}"
            self.close()
            return
        self._heard_at = self._loop.time()
        if not self.usable and not due and not self._unsent:
            self.close()

    def pause_writing(self) -> None:
        """Hold commands back: the socket is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was held back."""
        self._paused = False
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who has no reply."""
        self.usable = False
        if self._watch is not None:
            self._watch.cancel()
        text = str(exc) if exc is not None else self._ending
        for future in self._due:
            _fail(future, text, sent=True)
        for _, future in self._unsent:
            _fail(future, text, sent=False)
        self._due.clear()
        self._unsent.clear()

    # ------------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        assert self._patience_s is not None
        self._watch = None
        if not self._due:
            return
        left = self._heard_at + self._patience_s - self._loop.time()
        if left <= 0:
            self._ending = f"no reply within {self._patience_s:g} s"
            self.close()
        else:
            self._watch = self._loop.call_later(left, self._look)


class WireBrokenError(Exception):
    """The connection ended before the reply came."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


def pack(*command: Any) -> bytes:
    """Give the bytes of a plain command."""
    packed: bytes = hiredis.pack_command(command)
    return packed


async def open_wire(settings: Any, patience_s: float | None, make: Callable[[float | None], Wire] = Wire) -> Wire:
    """Connect and introduce ourselves.

    Args:
        settings: An unconnected connection of redis-py; one of Sentinel's is asked for the master.
        patience_s: See `Wire`.
        make: Makes the wire, given `patience_s`.

    Raises:
        AlsekError: A row of the table in `errors`; nothing was sent but the introduction.
    """
    from redis.connection import SSLConnection, UnixDomainSocketConnection

    loop = asyncio.get_running_loop()
    wire: Wire | None = None
    limit_s = settings.socket_connect_timeout or patience_s
    try:
        async with asyncio.timeout(limit_s):
            if isinstance(settings, UnixDomainSocketConnection):
                _, wire = await loop.create_unix_connection(lambda: make(patience_s), settings.path)
            else:
                host, port = settings.host, settings.port
                if hasattr(settings, "connect_to"):  # Sentinel's; redis-py's way to ask it blocks
                    host, port = await asyncio.to_thread(settings.connection_pool.get_master_address)
                context = _tls(settings) if isinstance(settings, SSLConnection) else None
                _, wire = await loop.create_connection(lambda: make(patience_s), host, port, ssl=context)
            await _introduce(wire, settings)
    except BaseException as error:
        if wire is not None:
            wire.close()
        if isinstance(error, TimeoutError) and not str(error):
            raise BackendUnavailableError(f"Redis did not answer: no connection within {limit_s} s") from error
        if isinstance(error, OSError | redis_errors.RedisError | WireBrokenError):
            raise translate(error, sent=False) from error
        raise
    return wire


async def _introduce(wire: Wire, settings: Any) -> None:
    commands: list[Sequence[Argument]] = []
    if settings.credential_provider or settings.username or settings.password:
        if settings.credential_provider:
            credentials = await settings.credential_provider.get_credentials_async()
        else:
            credentials = [text for text in (settings.username, settings.password) if text]
        commands.append(("AUTH", *credentials))
    if settings.client_name:
        commands.append(("CLIENT", "SETNAME", settings.client_name))
    if settings.db:
        commands.append(("SELECT", settings.db))
    for reply in await asyncio.gather(*[wire.ask(pack(*command)) for command in commands]):
        if isinstance(reply, redis_errors.ResponseError):
            raise translate(reply, sent=False) from reply


def _tls(settings: Any) -> ssl.SSLContext:
    # As `SSLConnection._wrap_socket_with_ssl` of redis-py does it; OCSP is left to the synchronous connection.
    context = ssl.create_default_context()
    context.check_hostname = settings.check_hostname
    context.verify_mode = settings.cert_reqs
    for flag in settings.ssl_include_verify_flags or ():
        context.verify_flags |= flag
    for flag in settings.ssl_exclude_verify_flags or ():
        context.verify_flags &= ~flag
    if settings.certfile or settings.keyfile:
        context.load_cert_chain(settings.certfile, settings.keyfile, settings.certificate_password)
    if settings.ca_certs is not None or settings.ca_path is not None or settings.ca_data is not None:
        context.load_verify_locations(settings.ca_certs, settings.ca_path, settings.ca_data)
    if settings.ssl_min_version is not None:
        context.minimum_version = settings.ssl_min_version
    if settings.ssl_ciphers:
        context.set_ciphers(settings.ssl_ciphers)
    return context


def _fail(future: asyncio.Future[Any], text: str, *, sent: bool) -> None:
    if not future.done():
        future.set_exception(WireBrokenError(text, sent=sent))


def _reply_error(text: str) -> Exception:
    return redis_errors.ResponseError(text.removeprefix("ERR "))
