"""Counts runs exactly and without a Redis command: each process appends a record to one file, in one write."""

from __future__ import annotations

import os
import struct
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

#: Number of the message, and when it started (CLOCK_MONOTONIC, the same for all processes of a machine), ns.
_RECORD: Final = struct.Struct("=qq")


class Tally:
    """The runs of numbered messages.

    Args:
        path: Of the file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._read = 0

    def note(self, number: int) -> None:
        """Note that a message starts now; safe for threads and processes."""
        os.write(self._file, _RECORD.pack(number, time.monotonic_ns()))

    def new(self) -> list[tuple[int, int]]:
        """Give what was noted since the last call: numbers, and when they started, ns."""
        raw = os.pread(self._file, os.fstat(self._file).st_size - self._read, self._read)
        whole = len(raw) - len(raw) % _RECORD.size
        self._read += whole
        return list(_RECORD.iter_unpack(raw[:whole]))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
