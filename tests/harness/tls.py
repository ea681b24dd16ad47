"""TLS before a real server: certificates made for the occasion, and a terminator for a server that speaks none."""

import asyncio
import os
import shutil
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from harness.server import Server, free_port


class Certificates:
    """A certificate authority of our own, with a certificate for the server and one for its clients.

    Args:
        directory: Where the files go.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        ca = trustme.CA()
        self.ca = directory / "ca.pem"
        ca.cert_pem.write_to_path(str(self.ca))
        self.server_cert, self.server_key = _write(ca.issue_cert("localhost", "127.0.0.1"), directory / "server")
        self.cert, self.key = _write(ca.issue_cert("worker@example.com"), directory / "client")

    @property
    def query(self) -> str:
        """Options of an address that name all three files."""
        return f"ca_file={self.ca}&cert_file={self.cert}&key_file={self.key}"


class TlsServer(Server):
    """A server with TLS of its own, which wants to see its clients' certificates."""

    def __init__(self, binary: str, certificates: Certificates) -> None:
        self.tls_port = free_port()
        super().__init__(
            binary=binary,
            config={
                "tls-port": self.tls_port,
                "tls-cert-file": str(certificates.server_cert),
                "tls-key-file": str(certificates.server_key),
                "tls-ca-cert-file": str(certificates.ca),
            },
        )


class Terminator:
    """Takes TLS off, and passes on what it hears: for a server that was built without.

    Args:
        port: Of the plain server.
        certificates: The server's, and the authority that clients' certificates have to come from.
    """

    def __init__(self, port: int, certificates: Certificates) -> None:
        self.tls_port = free_port()
        self._upstream = port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(certificates.server_cert, certificates.server_key)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminator", daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        assert self._ready.wait(15)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drop everything."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(15)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.tls_port, ssl=self._context)
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            with suppress(asyncio.CancelledError):  # the end: asyncio complains of tasks that it did not make
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            writer.close()
            back.close()


def tls_binary() -> str | None:
    """A server program that speaks TLS, if this machine has one."""
    return os.environ.get("ALSEK_TEST_TLS_SERVER") or shutil.which("redis-server")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _write(issued: trustme.LeafCert, stem: Path) -> tuple[Path, Path]:
    cert, key = stem.with_suffix(".pem"), stem.with_suffix(".key")
    issued.private_key_pem.write_to_path(str(key))
    for blob in issued.cert_chain_pems:
        blob.write_to_path(str(cert), append=cert.exists())
    return cert, key
