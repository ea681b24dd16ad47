"""A load generator for HTTP that costs little beside the service it measures: one event loop, no library."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import hiredis

from harness.session import MeasurementError

#: Longest wait for one answer, seconds.
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A service that listens on loopback.

    Attributes:
        port: Where.
        token: Sent as a bearer token, if there is one.
    """

    port: int
    token: str = ""

    def request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json", more: str = ""
    ) -> bytes:
        """Give the bytes of a request."""
        key = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{key}{more}"
        if body:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        return f"{head}\r\n".encode() + body


@dataclass(slots=True)
class Answers:
    """What came back.

    Attributes:
        seconds: From the first request to the last answer.
        statuses: How often each status came.
        took_s: How long each answer took.
        bodies: Of the answers, where they were wanted.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """A kept-alive connection for one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and give status and body of the answer; it has to say its length."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Give the answer when it is whole."""
        buffer = self._buffer
        buffer += data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(buffer[:end]).lower()
        at = head.find(b"content-length: ")
        length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(buffer) < end + 4 + length:
            return
        answer, self._answer = self._answer, None
        body = bytes(buffer[end + 4 : end + 4 + length])
        buffer.clear()
        if answer is not None and not answer.done():
            answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(MeasurementError(f"the service hung up: {exc}"))


async def connect(target: Target) -> Connection:
    """Connect."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", target.port)
    return connection


async def hammer(target: Target, requests: Iterator[bytes], connections: int, *, keep: bool = False) -> Answers:
    """Send requests over some connections, on each the next one when the one before is answered."""
    answers = Answers()

    async def one() -> None:
        connection = await connect(target)
        try:
            for request in requests:
                began = time.perf_counter()
                async with asyncio.timeout(PATIENCE_S):
                    status, body = await connection.ask(request)
                answers.took_s.append(time.perf_counter() - began)
                answers.statuses[status] += 1
                if keep:
                    answers.bodies.append(body)
        finally:
            connection.close()

    began = time.perf_counter()
    await asyncio.gather(*[one() for _ in range(connections)])
    answers.seconds = time.perf_counter() - began
    return answers


class Listener(asyncio.Protocol):
    """Follows one message by Server-Sent Events until the stream ends."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self.ended = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._tail = b""

    def data_received(self, data: bytes) -> None:
        """Tell of each state."""
        whole = self._tail + data
        *events, self._tail = whole.split(b"\n\n")
        for event in events:
            at = event.find(b"data: ")
            if at >= 0:
                self._heard(json.loads(event[at + 6 :].split(b"\n", 1)[0])["state"])

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        if not self.ended.done():
            self.ended.set_result(None)


async def listen(target: Target, uuid: str, heard: Callable[[str], None]) -> Awaitable[None]:
    """Open an event stream; the answer is awaited for its end."""
    loop = asyncio.get_running_loop()
    transport, listener = await loop.create_connection(lambda: Listener(heard), "127.0.0.1", target.port)
    transport.write(target.request("GET", f"/v1/messages/{uuid}/events", more="Connection: close\r\n"))
    return listener.ended


class Witness(asyncio.Protocol):
    """Subscribes to Redis directly: what an event stream says later than this, the service has added."""

    def __init__(self, pattern: str, heard: Callable[[str, bytes], None]) -> None:
        self._pattern = pattern
        self._heard = heard
        self._reader = hiredis.Reader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Subscribe."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(hiredis.pack_command(("PSUBSCRIBE", self._pattern)))

    def data_received(self, data: bytes) -> None:
        """Tell of each message."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, list) and reply[0] == b"pmessage":
                self._heard(reply[2].decode(), reply[3])


def enqueueing(target: Target, messages: list[dict[str, Any]]) -> bytes:
    """Give the request that enqueues messages in bulk."""
    return target.request("POST", "/v1/messages:batch", json.dumps({"messages": messages}).encode())
