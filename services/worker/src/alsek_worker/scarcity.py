"""Whether the kernel ended a process for want of memory, as far as that can be known from outside."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")


class Scarcity:
    """Watches how often the kernel ended a process of our control group for want of memory (cgroup v2).

    Args:
        cgroups: Where the kernel shows control groups.
        membership: Says which of them is ours.
    """

    def __init__(self, cgroups: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> None:
        self._events = _events_of_ours(cgroups, membership)
        self._seen = self._killed()

    def hint(self) -> str:
        """Give what to say of a process that died of a SIGKILL that nobody here sent."""
        seen, self._seen = self._seen, self._killed()
        if seen is None or self._seen is None:
            return "perhaps for want of memory: the kernel's log tells"
        return "for want of memory, as the kernel counts" if self._seen > seen else "not for want of memory"

    def _killed(self) -> int | None:
        if self._events is None:
            return None
        with suppress(OSError, ValueError):
            for line in self._events.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
        return None


def _events_of_ours(cgroups: Path, membership: Path) -> Path | None:
    with suppress(OSError):
        for line in membership.read_text().splitlines():
            if line.startswith("0::"):
                path = cgroups / line.removeprefix("0::").lstrip("/") / "memory.events"
                return path if path.exists() else None
    return None
