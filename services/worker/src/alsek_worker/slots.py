"""What an intake needs of a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from alsek_worker.attempt import Attempt


class Slots(Protocol):
    """What an intake needs of a pool."""

    def deliver(self, attempts: list[Attempt]) -> None:
        """Take messages to be run; returns at once."""

    def take_back(self) -> list[Attempt]:
        """Give back everything that has not been started."""

    def overdue(self, now: float) -> float:
        """Interrupt what is past its deadline; returns when to look again (monotonic seconds)."""

    def interrupt(self, attempt: Attempt, error: type[BaseException]) -> None:
        """Ask a running attempt to end."""
