"""One terminal for several programs: each line says whose it is, and no two lines mix."""

from __future__ import annotations

import os
import sys
from threading import Lock
from typing import Final

#: Cyan, magenta, green, yellow, blue: readable on dark and on light.
_COLOURS: Final = (36, 35, 32, 33, 34)


class Terminal:
    """Writes lines with the name of their program in front.

    Args:
        width: Room for the names.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._lock = Lock()
        self._names: list[str] = []
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def line(self, name: str, text: str) -> None:
        """Write one line of a program; safe to call from any thread."""
        with self._lock:
            if name not in self._names:
                self._names.append(name)
            label = f"{name:<{self._width}} |"
            if self._coloured:
                label = f"\033[{_COLOURS[self._names.index(name) % len(_COLOURS)]}m{label}\033[0m"
            sys.stdout.write(f"{label} {text}\n")
            sys.stdout.flush()
