"""A Docker engine with Compose: the one of this machine, or one that is started here and ended again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.eventually import eventually
from harness.spawn import spawn

if TYPE_CHECKING:
    from types import TracebackType

#: A small machine needs a while until its firewall and its network bridge stand.
_UP_S = 30.0

#: An engine of our own keeps base images, three images built on them, and what they are built of.
_DISK_BYTES = 6 * 2**30


class LackingError(Exception):
    """This machine has not what it takes; the text says what is missing."""


def answers() -> bool:
    """Whether an engine is there for whoever asks."""
    return shutil.which("docker") is not None and _silent("docker", "info") == 0


def compose_command() -> list[str]:
    """How Compose is called: as a plugin of docker, or as the program that it once was."""
    if _silent("docker", "compose", "version") == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


def missing() -> str:
    """What keeps this machine from running the stack, as far as it can be seen beforehand; empty if nothing does."""
    if shutil.which("docker") is None:
        return "no docker here (Debian: apt install docker.io docker-compose)"
    if not compose_command():
        return "no Docker Compose here (Debian: apt install docker-compose)"
    if answers():
        return ""
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        return "no Docker engine answers, and none can be started: that takes root and dockerd"
    if shutil.disk_usage(tempfile.gettempdir()).free < _DISK_BYTES:
        return f"an engine of our own takes {_DISK_BYTES >> 30} GiB in {tempfile.gettempdir()}, which are not free"
    return ""


class Engine:
    """Context manager: inside of it there is an engine, which at the end is as it was before.

    One that is started here lives in process and mount namespaces of its own, so nothing of it outlives it, whoever
    ends it. Its bridge and the chains that it makes in the firewall stay behind, as they do after any engine.

    Raises:
        LackingError: None answers, and none can be started.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if lack := missing():
            raise LackingError(lack)
        if answers():
            return self
        self._folder = Path(tempfile.mkdtemp(prefix="alsek-engine-"))
        socket = f"unix://{self._folder / 'socket'}"
        self._process = spawn(
            [
                "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                "dockerd", "--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "exec"),
                "--pidfile", str(self._folder / "pid"), "--host", socket,
            ],
            log=self._folder / "log",
        )  # fmt: skip
        os.environ["DOCKER_HOST"] = socket
        with suppress(AssertionError):
            eventually(lambda: self._ended() or answers(), _UP_S, interval=0.2)
        if self._ended() or not answers():
            said = (self._folder / "log").read_text(errors="replace").strip().splitlines() or ["nothing"]
            self._end()
            raise LackingError(f"no Docker engine can be started here: {said[-1][-300:]}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._end()

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _end(self) -> None:
        assert self._process is not None
        assert self._folder is not None
        del os.environ["DOCKER_HOST"]
        if not self._ended():
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _silent(*command: str) -> int:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode
    except subprocess.TimeoutExpired:
        return -1
