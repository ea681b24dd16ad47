"""How a pool learns that it should end: by signal, by its `stop_signal`, and how urgently."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: SIGHUP is a terminal that was closed: no reason to drop work.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Bell:
    """Wakes whoever waits on its descriptor; may be rung from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._ear, self._clapper = socket.socketpair()
        self._ear.setblocking(False)
        self._clapper.setblocking(False)

    def ring(self) -> None:
        """Make the descriptor readable."""
        with suppress(OSError):  # it rings already
            self._clapper.send(b"!")

    def hush(self) -> None:
        """Forget past rings."""
        with suppress(BlockingIOError):
            while self._ear.recv(4096):
                pass

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._ear.fileno()


class StopSignal:
    """What ends a pool.

    Attributes:
        exit_event: Setting it drains the pool, from any thread.
    """

    def __init__(self) -> None:
        self.bell = Bell()
        self.exit_event = _RingingEvent(self.bell.ring)
        self._signals = 0

    @property
    def received(self) -> bool:
        """Whether the pool should end."""
        return self._signals > 0 or self.exit_event.is_set()

    @property
    def urgent(self) -> bool:
        """Whether somebody asked twice: running work gets no more time."""
        return self._signals > 1

    def wait(self, timeout_ms: int | None) -> None:
        """Sleep, or less when the pool should end."""
        self.exit_event.wait(None if timeout_ms is None else timeout_ms / 1000)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count stop signals meanwhile, but for those that `nohup` and the like have switched off.

        Outside the main thread there is nothing to count.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before: dict[signal.Signals, Any] = {
            number: signal.signal(number, self._count)
            for number in STOP_SIGNALS
            if signal.getsignal(number) != signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _count(self, _number: int, _frame: object) -> None:
        # No lock may be taken here: the interrupted code may hold it.
        self._signals += 1
        self.bell.ring()


class _RingingEvent(threading.Event):
    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def set(self) -> None:
        """Set it, and wake the supervisor."""
        super().set()
        self._ring()
