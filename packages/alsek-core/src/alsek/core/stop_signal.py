"""How a process remembers that it was asked to stop, and lets `select` wait for it."""

from __future__ import annotations

import os
import signal
import sys
from _thread import start_new_thread
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING
from weakref import finalize

if TYPE_CHECKING:
    from types import FrameType


class StopSignalListener:
    """Remember that the process was asked to stop.

    Args:
        stop_signals: What counts as being asked.
        exit_override: Exit at once when asked a second time.
        install: Handle the signals; possible in the main thread only. Otherwise only `exit_event.set()` asks.
    """

    def __init__(
        self,
        stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT),
        exit_override: bool = True,
        install: bool = True,
    ) -> None:
        self.stop_signals = stop_signals
        self.exit_override = exit_override
        self.exit_event: Event = _RingingEvent()
        self._asked = False
        for stop_signal in stop_signals if install else ():
            signal.signal(stop_signal, self._remember)

    @property
    def received(self) -> bool:
        """Whether the process was asked to stop."""
        return self._asked or self.exit_event.is_set()

    def wait(self, timeout: int) -> None:
        """Wait to be asked, at most so many milliseconds."""
        self.exit_event.wait(timeout / 1000)

    def fileno(self) -> int:
        """Return a descriptor that is readable from then on, for `select`."""
        assert isinstance(self.exit_event, _RingingEvent)
        return self.exit_event.fileno()

    def _remember(self, _signal: int, _frame: FrameType | None) -> None:
        if self.exit_override and self.received:
            sys.exit(1)
        self._asked = True
        # In a thread: this one may be holding the event's lock just where the signal interrupted it.
        start_new_thread(self.exit_event.set, ())


class _RingingEvent(Event):
    """An event that `select` can wait for too."""

    def __init__(self) -> None:
        super().__init__()
        self._reader: int | None = None
        self._writer: int | None = None

    def set(self) -> None:
        super().set()
        if self._writer is not None:
            with suppress(BlockingIOError):  # it rings already
                os.write(self._writer, b"!")

    def fileno(self) -> int:
        if self._reader is None:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            finalize(self, _close, self._reader, self._writer)
            if self.is_set():
                os.write(self._writer, b"!")
        return self._reader


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
