"""Run a worker and account for every process below it."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

#: A worker that ignores SIGTERM for this long is killed.
STOP_S = 15


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one process of a worker costs."""

    pid: int
    command: str
    rss_mb: float
    uss_mb: float
    cpu_s: float


class Worker:
    """A process tree, ended by its own pids."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path) -> None:
        self.log = log
        self.started_ns = time.monotonic_ns()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                list(command), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def tree(self) -> list[psutil.Process]:
        """Give the worker and everything below it."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def footprints(self) -> list[Footprint]:
        """Measure memory and CPU time of each process."""
        found = []
        for process in self.tree():
            with suppress(psutil.NoSuchProcess, FileNotFoundError):
                memory = process.memory_full_info()
                words = process.cmdline()
                found.append(
                    Footprint(
                        process.pid, " ".join(words)[:120], memory.rss / 2**20,
                        memory.uss / 2**20, _cpu_s(process.pid),
                    )
                )  # fmt: skip
        return found

    def stop(self) -> None:
        """End it politely; kill what is left."""
        tree = self.tree()
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_S)
        self._kill(tree)

    def kill(self) -> None:
        """End the whole tree by SIGKILL, at once."""
        self._kill(self.tree())

    def _kill(self, tree: Sequence[psutil.Process]) -> None:
        for process in tree:
            # psutil checks the creation time, so a reused pid is never hit.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)

    def complaint(self) -> str:
        """Give the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-12:])


def _cpu_s(pid: int) -> float:
    """CPU time of all threads, in nanosecond steps instead of the 10 ms of /proc/PID/stat."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with suppress(FileNotFoundError, ProcessLookupError):
            total += int(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text().split()[0])
    return total / 1e9
