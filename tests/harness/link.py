"""One connection through the proxy: a pump each way, and the moment it breaks."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Protocol

from harness.faults import Fault
from harness.resp import Args, CommandParser, ReplyCounter

#: Their confirmations are pushes under RESP3, so no reply is owed for them.
_UNREPLIED = frozenset({b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"})


class Line(Protocol):
    """What a link asks of the proxy it belongs to."""

    def judge(self, connection: int, args: Args) -> Fault | None:
        """Count one command and say what happens to it."""

    async def gate(self, direction: str) -> None:
        """Return as soon as anything at all gets through in this direction."""

    async def pass_on(self, data: bytes, writer: asyncio.StreamWriter, direction: str) -> None:
        """Deliver bytes under the present weather."""


class Link:
    """One client connection and its connection to the server."""

    def __init__(
        self,
        line: Line,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        task: "asyncio.Task[None]",
    ) -> None:
        self.task = task
        #: Whether whatever arrives from either side is thrown away.
        self.silent = False
        self._line = line
        self._number = number
        self._client, self._client_writer = reader, writer
        self._server_writer: asyncio.StreamWriter | None = None
        self._owed = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._swallowing = False

    async def run(self, upstream_port: int) -> None:
        await self._line.gate("to_server")
        server, self._server_writer = await asyncio.open_connection("127.0.0.1", upstream_port)
        pumps = [
            asyncio.ensure_future(self._commands(self._server_writer)),
            asyncio.ensure_future(self._replies(server)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def reset(self) -> None:
        """Close with RST towards the client and end this link."""
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self._client_writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._client_writer.transport.abort()
        self.task.cancel()

    def close(self) -> None:
        self._client_writer.close()
        if self._server_writer is not None:
            self._server_writer.close()

    async def _commands(self, server: asyncio.StreamWriter) -> None:
        parser = CommandParser()
        while data := await self._client.read(65536):
            if self.silent:
                continue
            batch = bytearray()
            for raw, args in parser.feed(data):
                fault = self._line.judge(self._number, args)
                if fault is not None:
                    await self._line.pass_on(bytes(batch), server, "to_server")
                    await self._suffer(fault, raw, server)
                    return
                self._owe(args)
                batch += raw
            await self._line.pass_on(bytes(batch), server, "to_server")
        await self._line.gate("to_server")  # the end of a connection does not pass a blackhole either

    async def _suffer(self, fault: Fault, raw: bytes, server: asyncio.StreamWriter) -> None:
        await self._settled.wait()
        if fault.kind != "cut_before":
            self._swallowing = True
            self._owe(())
            await self._line.pass_on(raw, server, "to_server")
        if fault.kind == "drop_reply":
            await self._settled.wait()
        if fault.then is not None:
            fault.then()
        self.reset()

    def _owe(self, args: Args) -> None:
        if args and args[0].upper() in _UNREPLIED:
            return
        self._owed += 1
        self._settled.clear()

    async def _replies(self, server: asyncio.StreamReader) -> None:
        counter = ReplyCounter()
        while data := await server.read(65536):
            replies = counter.feed(data)
            if not self._swallowing and not self.silent:
                await self._line.pass_on(data, self._client_writer, "to_client")
            self._owed = max(0, self._owed - replies)
            if not self._owed:
                self._settled.set()
        await self._line.gate("to_client")
