"""The process table, read from /proc: who is alive, who is a zombie, who was left behind."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.eventually import eventually

_PROC = Path("/proc")
#: Longer than any `exec` keeps the environment hidden; paid in full only by a process that has none.
EXEC_WINDOW_S = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """One process as /proc shows it."""

    pid: int
    parent: int
    #: `R`, `S`, `D`, `T` (stopped), `Z` (zombie), ...
    state: str
    command: str


def look(pid: int) -> Found | None:
    """The process with this pid, zombies included, or `None`."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, parent = stat.rpartition(")")[2].split()[:2]
    return Found(pid, int(parent), state, command.replace(b"\0", b" ").decode(errors="replace").strip())


def running(pid: int) -> bool:
    """Whether the process can still execute anything (a zombie cannot)."""
    found = look(pid)
    return found is not None and found.state not in "ZX"


def send(pid: int, number: int) -> None:
    """Signal a process, which may have ended meanwhile."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def kill_now(pid: int) -> None:
    """SIGKILL a process and return when it can no longer run."""
    send(pid, signal.SIGKILL)
    eventually(lambda: not running(pid), what=f"process {pid} is dead", interval=0.0005)


def marked(variable: str, value: str) -> list[Found]:
    """Live processes started with `variable=value` in their environment."""
    wanted = f"{variable}={value}".encode()
    holders = (look(pid) for pid in _pids() if wanted in _environ(pid).split(b"\0"))
    return [process for process in holders if process and process.state not in "ZX"]


def children(pid: int) -> list[Found]:
    """Direct children of a process, zombies included."""
    return [found for other in _pids() if (found := look(other)) and found.parent == pid]


def descendants(pid: int) -> list[Found]:
    """Children, their children and so on; orphans adopted by init are not among them."""
    by_parent: dict[int, list[Found]] = {}
    for other in _pids():
        if found := look(other):
            by_parent.setdefault(found.parent, []).append(found)
    tree: list[Found] = []
    pending = [pid]
    while pending:
        below = by_parent.get(pending.pop(), [])
        tree.extend(below)
        pending.extend(found.pid for found in below)
    return tree


def zombies(pid: int) -> list[Found]:
    """Descendants that ended and were not reaped."""
    return [found for found in descendants(pid) if found.state == "Z"]


def _environ(pid: int) -> bytes:
    """Environment a process was started with.

    It reads as empty for a moment inside `exec`, so an empty one is read again.
    """
    environ = b""

    def settled() -> bool:
        nonlocal environ
        try:
            environ = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            return True
        return bool(environ) or not running(pid)

    with suppress(AssertionError):
        eventually(settled, EXEC_WINDOW_S, interval=0.0005)
    return environ


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
