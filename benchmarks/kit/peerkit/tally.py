"""Write down each start and end of a task without asking Redis or the peer.

Every process appends to a file of its own, mapped into memory, in the folder
`BENCH_TALLY`. A record is two 64-bit words: `number * 2` (plus one for an end) and
the time by CLOCK_MONOTONIC in nanoseconds, which all processes of the machine share.
An append costs well under a microsecond and survives SIGKILL, so lost and repeated
tasks are counted exactly and no peer pays more than another.
"""

import itertools
import mmap
import os
import threading
from time import monotonic_ns

#: Room of a file, in records; the files are sparse, so generous is free.
RECORDS = int(os.environ.get("BENCH_TALLY_RECORDS", "1000000"))
RECORD_BYTES = 16


class _Lane:
    """One process's file. A position is given out once, in any thread."""

    def __init__(self) -> None:
        path = os.path.join(os.environ["BENCH_TALLY"], f"{os.getpid()}.lane")
        with open(path, "w+b") as file:
            file.truncate(RECORDS * RECORD_BYTES)
            self.words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        # next() on itertools.count is atomic under the interpreter lock.
        self.positions = itertools.count(0, 2)


_lane: _Lane | None = None
_opening = threading.Lock()


def started(number: int) -> None:
    """Record that the task with this number begins now."""
    _append(number * 2)


def ended(number: int) -> None:
    """Record that the task with this number has ended."""
    _append(number * 2 + 1)


def _append(code: int) -> None:
    lane = _lane or _open()
    position = next(lane.positions)
    lane.words[position] = code
    # The time goes last: a reader takes a record for written once it is not zero.
    lane.words[position + 1] = monotonic_ns()


def _open() -> _Lane:
    global _lane
    with _opening:
        if _lane is None:
            _lane = _Lane()
        return _lane


def _forget() -> None:
    """A forked child must not write into its parent's file."""
    global _lane, _opening
    _lane = None
    _opening = threading.Lock()


os.register_at_fork(after_in_child=_forget)

__all__ = ["ended", "started"]
