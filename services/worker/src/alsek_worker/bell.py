"""Wakes a thread that sleeps in `select`, from any other thread."""

from __future__ import annotations

import socket
from contextlib import suppress


class Bell:
    """A descriptor that becomes readable when somebody rings."""

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)

    def ring(self) -> None:
        """Make the descriptor readable; never blocks."""
        with suppress(BlockingIOError):  # it rings already
            self._near.send(b"!")

    def silence(self) -> None:
        """Take note of all rings so far."""
        with suppress(BlockingIOError):
            self._far.recv(4096)

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._far.fileno()
