"""A RESP-aware TCP proxy between a client and its server, which can fail on demand.

It counts the commands that pass, so a test can say *where* the network breaks:
before command k, after it, or when its reply is on the way back. It runs on a
thread of its own; rules may be set from any thread at any time.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, Self, TypeVar

from harness.eventually import eventually
from harness.faults import SETUP_COMMANDS, FaultPlan
from harness.link import Link
from harness.server import free_port

T = TypeVar("T")
Direction = Literal["to_server", "to_client", "both"]

#: Smallest pause of a slow line: short enough to look continuous.
_DRIP_S = 0.02


class Proxy(FaultPlan):
    """Listens on a free port of 127.0.0.1 and forwards to a local server.

    Faults of single commands (`cut_before`, `drop_reply`, ...) come from `FaultPlan`;
    here are those of the line.
    """

    def __init__(
        self,
        upstream_port: int,
        *,
        password: str | None = None,
        ignored: frozenset[bytes] = SETUP_COMMANDS,
        record: bool = True,
    ) -> None:
        """Describe a proxy; `start` or `with` opens it.

        Args:
            upstream_port: Port of the server on 127.0.0.1.
            password: Put into `url`, nothing else.
            ignored: Names of commands that pass uncounted and unharmed.
            record: Keep every counted command in `seen`.
        """
        super().__init__(ignored=ignored, record=record)
        self.port = free_port()
        self.upstream_port = upstream_port
        secret = f":{password}@" if password else ""
        self.url = f"redis://{secret}127.0.0.1:{self.port}/0"
        #: Connections accepted so far.
        self.connected = 0
        self._delay_s = 0.0
        self._rate = 0.0
        self._links: set[Link] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._open = {"to_server": asyncio.Event(), "to_client": asyncio.Event()}
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self.heal()
        return self

    def stop(self) -> None:
        """Reset every connection and end the thread."""
        if self._thread.is_alive():
            self.refuse()
            self.reset_all()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def heal(self) -> None:
        """Take every fault away and listen; what was held back is delivered."""
        self.forgive()
        self._delay_s = self._rate = 0.0
        for gate in self._open.values():
            self._loop.call_soon_threadsafe(gate.set)
        self.accept()

    def delay(self, seconds: float) -> None:
        """Hold each chunk towards the server that long; 0 ends it."""
        self._delay_s = seconds

    def drip(self, bytes_per_second: float) -> None:
        """Pass at most that many bytes a second, per connection and direction; 0 ends it."""
        self._rate = bytes_per_second

    def blackhole(self, direction: Direction = "both", seconds: float | None = None) -> None:
        """Deliver nothing in `direction`, until `heal` or for `seconds`.

        Connections stay open and new ones are taken. As with TCP retransmission, what
        was sent meanwhile, an end of the connection included, arrives afterwards if the connection still lives.
        """
        for gate in [self._open[name] for name in self._open if direction in (name, "both")]:
            self._loop.call_soon_threadsafe(gate.clear)
            if seconds is not None:
                self._loop.call_soon_threadsafe(self._loop.call_later, seconds, gate.set)

    def reset_all(self) -> None:
        """Send RST on every client connection."""

        async def abort() -> None:
            links = list(self._links)
            for link in links:
                link.reset()
            await asyncio.gather(*(link.task for link in links), return_exceptions=True)

        self._call(abort())

    def forget_all(self) -> None:
        """Let present connections pass nothing more, for ever, and say so to nobody; new ones are as usual.

        So do firewalls and balancers that lost their tables: both ends believe that they are connected.
        """

        async def silence() -> None:
            for link in self._links:
                link.silent = True

        self._call(silence())

    def refuse(self) -> None:
        """Answer new connections with RST (connection refused); open ones stay."""

        async def close() -> None:
            if self._listener is not None:
                self._listener.close()
                self._listener = None

        self._call(close())

    def accept(self) -> None:
        """Take connections again after `refuse`."""

        async def listen() -> None:
            if self._listener is None:
                self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

        self._call(listen())

    def wait_for(self, k: int, timeout: float = 10.0) -> None:
        """Return once k commands were counted."""
        eventually(lambda: self.count >= k, timeout, what=lambda: f"{k} commands, {self.count} seen")

    async def gate(self, direction: str) -> None:
        """Return as soon as anything at all gets through in this direction (proxy's thread)."""
        await self._open[direction].wait()

    async def pass_on(self, data: bytes, writer: asyncio.StreamWriter, direction: str) -> None:
        """Deliver bytes under the present weather (proxy's thread)."""
        if direction == "to_server" and self._delay_s:
            await asyncio.sleep(self._delay_s)
        step = max(1, round(self._rate * _DRIP_S)) if self._rate else max(1, len(data))
        for start in range(0, len(data), step):
            await self.gate(direction)
            writer.write(data[start : start + step])
            if self._rate:
                await asyncio.sleep(step / self._rate)
        await writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        task = asyncio.current_task()
        assert task is not None
        link = Link(self, self.connected, reader, writer, task)
        self._links.add(link)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await link.run(self.upstream_port)
        finally:
            self._links.discard(link)
            link.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()
