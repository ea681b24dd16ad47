"""A Docker engine with Compose: the one of this machine, or one that is started here and ended again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Self

from harness.eventually import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

#: A small machine needs a while until its firewall and its network bridge stand.
_UP_S = 60.0


def answers() -> bool:
    """Whether an engine is there for whoever asks."""
    return shutil.which("docker") is not None and _silent("docker", "info") == 0


def missing() -> str:
    """What keeps this machine from running the stack; empty if nothing does."""
    if shutil.which("docker") is None:
        return "no docker here (Debian: apt install docker.io docker-compose)"
    if not answers() and (shutil.which("dockerd") is None or os.geteuid() != 0):
        return "no Docker engine answers, and none can be started: that takes root and dockerd"
    if not compose_command():
        return "no Docker Compose here (Debian: apt install docker-compose)"
    return ""


def compose_command() -> list[str]:
    """How Compose is called: as a plugin of docker, or as the program that it once was."""
    if _silent("docker", "compose", "version") == 0:
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else []


class Engine:
    """Context manager: afterwards there is an engine, and at the end it is as it was before.

    Args:
        folder: For whatever an engine of our own keeps.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if answers():
            return self
        with (self._folder / "dockerd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd", "--data-root", str(self._folder / "data"), "--exec-root", str(self._folder / "exec"),
                    "--pidfile", str(self._folder / "pid"), "--host", f"unix://{self._folder / 'socket'}",
                ],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        os.environ["DOCKER_HOST"] = f"unix://{self._folder / 'socket'}"
        eventually(lambda: self._ended() or answers(), _UP_S, what=self._told, interval=0.2)
        assert not self._ended(), self._told()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        del os.environ["DOCKER_HOST"]

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _told(self) -> str:
        return "the engine is up\n" + (self._folder / "dockerd.log").read_text(errors="replace")[-2000:]


def _silent(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode
