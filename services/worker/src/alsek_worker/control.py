"""The child's end of the line to its supervisor.

Orders and reports are small tuples on a pipe. A thread of its own reads the orders, so
that they arrive while user code runs; the end of the file means that the supervisor is
gone, and then this process ends at once: its leases are no longer renewed by anybody.

| order | meaning |
|---|---|
| `("drain",)` | claim nothing more, finish what runs, give back what does not, end |
| `("stop", reason)` | interrupt what runs with `TerminationError`, give everything back unharmed, end |
| `("revoke", uuid, token)` | interrupt this message with `RevokedError` |
| `("lost", uuid, token)` | the lease is gone: interrupt this message, settle nothing |

| report | meaning |
|---|---|
| `("ready",)` | tasks are imported, the pool runs |
| `("failed", text)` | it could not start |
| `("retire", why)` | I take no new work and drain: replace me |
| `("full",)` | all slots are taken and more is waiting: another child may help |
| `("look",)` | a deadline before your next look at my ledger was added |
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

Order = tuple[Any, ...]

#: Exit code of a child whose supervisor vanished; nobody is left to read it.
ORPHANED = 70


class Control:
    """A duplex line to the supervisor.

    Args:
        line: The child's end of a duplex pipe.
    """

    def __init__(self, line: Connection) -> None:
        self._line = line
        self._sending = threading.Lock()
        self._early: list[Order] = []
        self._obey: Callable[[Order], None] | None = None
        self._handing_over = threading.Lock()

    def tell(self, *report: Any) -> None:
        """Report something; from any thread. A supervisor that is gone does not matter here: `watch` notices."""
        with self._sending, suppress(OSError):
            self._line.send(report)

    def watch(self) -> None:
        """Start to read orders, and end this process when the supervisor is gone."""
        threading.Thread(target=self._read, name="control", daemon=True).start()

    def listen(self, obey: Callable[[Order], None]) -> None:
        """Have every order handed to `obey`, those that came before as well.

        Args:
            obey: Called in the control thread, one order at a time; must return soon.
        """
        with self._handing_over:
            for order in self._early:
                obey(order)
            self._early.clear()
            self._obey = obey

    def _read(self) -> None:
        while True:
            try:
                order = self._line.recv()
            except (EOFError, OSError):
                os._exit(ORPHANED)
            with self._handing_over:
                if self._obey is None:
                    self._early.append(order)
                else:
                    self._obey(order)
