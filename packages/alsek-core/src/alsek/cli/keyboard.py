"""Keys as they are pressed: the terminal gives them one by one while this is open, and is as before afterwards."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

#: What terminals send for keys that are no character.
_NAMES: Final = {"\x1b[A": "up", "\x1b[B": "down", "\x1bOA": "up", "\x1bOB": "down", "\x1b": "escape", "\x03": "ctrl-c"}


class Keyboard:
    """The keys of a terminal; use it in a `with`.

    Args:
        descriptor: Of the terminal; stdin by default.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._fd = sys.stdin.fileno() if descriptor is None else descriptor
        self._before: list[Any] = []
        self._pending = ""

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)
        # Ctrl-C is a key like others, also where this is nobody's controlling terminal.
        mine = termios.tcgetattr(self._fd)
        mine[6][termios.VINTR] = b"\0"
        termios.tcsetattr(self._fd, termios.TCSADRAIN, mine)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str:
        """Wait for a key.

        Args:
            seconds: At most so long.

        Returns:
            Its character, or `up`, `down`, `escape`, `ctrl-c`; empty when none was pressed; `q` when the terminal is
            gone.
        """
        if not self._pending:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, seconds))
            if not ready:
                return ""
            try:
                raw = os.read(self._fd, 256)
            except OSError:
                return "q"
            if not raw:
                return "q"
            self._pending = raw.decode(errors="ignore")
        # Several may have been pressed since the last look; one key may be three characters.
        long = self._pending[:3] in _NAMES
        key, self._pending = self._pending[: 3 if long else 1], self._pending[3 if long else 1 :]
        return _NAMES.get(key, key)
