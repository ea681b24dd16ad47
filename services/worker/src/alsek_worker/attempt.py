"""One run of one message in one worker: who may settle it, and what interrupted it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from alsek.exceptions import RevokedError

if TYPE_CHECKING:
    from alsek.core.message import Message
    from alsek.core.progress import Progress
    from alsek.core.settlement import Settlement
    from alsek_worker.recipe import Recipe


class Attempt:
    """A claimed message on its way through a child.

    Attributes:
        message: What is run.
        recipe: How; `None` while nobody knows the task.
        slot: Its place in the ledger.
        started: Monotonic seconds; 0 while it waits.
        ended: Monotonic seconds.
        deadline: Monotonic seconds at which its timeout is over.
        interruption: The class of exception that was asked to end it, if any.
        owned: Whether the one who runs it took the right to settle (not one who gave it up, or settled it for good).
        mourned: Whether the hooks of its revocation were called.
        reported: Whether it said how far it has come.
        queued: Whether what it said waits to be told, and whoever tells it knows.
        told_at: When that was last told, monotonic seconds.
        settlement: What is to become of it, once that is known; `None` when there is nothing (left) to settle.
        settled_alone: What became of it, when it was settled by itself.
    """

    __slots__ = (
        "_ticket",
        "deadline",
        "ended",
        "interruption",
        "message",
        "mourned",
        "owned",
        "queued",
        "recipe",
        "reported",
        "settled_alone",
        "settlement",
        "slot",
        "started",
        "told_at",
    )

    def __init__(self, message: Message, recipe: Recipe | None, slot: int) -> None:
        self.message = message
        self.recipe = recipe
        self.slot = slot
        self.started = 0.0
        self.ended = 0.0
        self.deadline = math.inf
        self.interruption: type[BaseException] | None = None
        self.mourned = False
        self.owned = False
        self.reported = self.queued = False
        self.told_at = 0.0
        self.settlement: Settlement | None = None
        self.settled_alone: Settlement | None = None
        self._ticket = [None]

    def win(self) -> bool:
        """Take the right to settle; only the first of all threads that ask gets it."""
        try:
            self._ticket.pop()  # atomic under the GIL
        except IndexError:
            return False
        return True

    @property
    def decided(self) -> bool:
        """Whether somebody has taken the right to settle."""
        return not self._ticket

    @property
    def why_interrupted(self) -> str:
        """What interrupted it, in words."""
        if self.interruption is None or self.interruption is TimeoutError:
            return f"not finished within its timeout of {self.message.timeout:,} ms"
        return "Task Revoked" if self.interruption is RevokedError else "interrupted"

    def report(self, progress: Progress) -> None:
        """Pass on how far it has come."""
        if self.recipe is not None:
            self.recipe.teller.note(self, progress)
