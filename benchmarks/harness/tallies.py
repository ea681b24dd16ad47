"""Read the tally that the tasks write: what ran, how often, and when."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: How often a wait looks. Short against a drain, and two thousandths of one core.
LOOK_S = 0.02
STARTS, ENDS = 0, 1


class Tally:
    """The records of all lanes in a folder (see `peerkit/tally.py` for the format)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps: dict[Path, np.memmap] = {}
        self._written: dict[Path, int] = {}

    def lanes(self, kind: int = STARTS) -> list[np.ndarray]:
        """Give one array of rows (number, nanoseconds) for each process that ran tasks."""
        found = []
        for path in self._paths():
            rows = np.asarray(self._map(path)[: self._count(path)])
            rows = rows[rows[:, 0] % 2 == kind]
            found.append(np.column_stack((rows[:, 0] // 2, rows[:, 1])).astype(np.int64))
        return [rows for rows in found if len(rows)]

    def rows(self, kind: int = STARTS) -> np.ndarray:
        """Give all lanes' rows, ordered by time."""
        lanes = self.lanes(kind)
        if not lanes:
            return np.empty((0, 2), dtype=np.int64)
        rows = np.concatenate(lanes)
        return rows[np.argsort(rows[:, 1], kind="stable")]

    def records(self) -> int:
        """Count everything written so far, starts and ends."""
        return sum(self._count(path) for path in self._paths())

    def wait(self, enough: Callable[[], bool], stall_s: float, cap_s: float = 3600) -> bool:
        """Wait until there is enough; give up when nothing is written for `stall_s`."""
        begin = moved = time.monotonic()
        last = -1
        while not enough():
            records, now = self.records(), time.monotonic()
            if records != last:
                last, moved = records, now
            if now - moved > stall_s or now - begin > cap_s:
                return False
            time.sleep(LOOK_S)
        return True

    def distinct(self, kind: int = STARTS, below: int = 10**15) -> int:
        """Count the different numbers seen, those below a bound only."""
        numbers = self.rows(kind)[:, 0]
        return len(np.unique(numbers[numbers < below]))

    def last_start(self) -> tuple[int, int]:
        """Give the process id and the number of the task that started last."""
        latest = (0, 0, 0)
        for path in self._paths():
            rows = np.asarray(self._map(path)[: self._count(path)])
            for code, at in rows[rows[:, 0] % 2 == STARTS][-1:]:
                latest = max(latest, (int(at), int(path.stem), int(code) // 2))
        return latest[1], latest[2]

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("*.lane"))

    def _map(self, path: Path) -> np.ndarray:
        if path not in self._maps:
            if path.stat().st_size == 0:
                return np.empty((0, 2), dtype=np.uint64)
            self._maps[path] = np.memmap(path, dtype=np.uint64, mode="r").reshape(-1, 2)
        return self._maps[path]

    def _count(self, path: Path) -> int:
        """Count a lane's written records; looks only at what is new, block by block."""
        rows, at = self._map(path), self._written.get(path, 0)
        while at < len(rows):
            block = rows[at : at + 4096, 1]
            filled = int(np.count_nonzero(block))
            at += filled
            if filled < len(block):
                break
        self._written[path] = at
        return at
