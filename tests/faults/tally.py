"""Counts of many runs, added up into the one line that a test prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.checker import Verdict


@dataclass(slots=True)
class Tally:
    """Sums of verdicts."""

    name: str
    seed: int
    runs: int = 0
    submitted: int = 0
    ended: int = 0
    lost: int = 0
    duplicated: int = 0
    stale: int = 0

    def add(self, verdict: Verdict) -> None:
        """Count one run."""
        self.runs += 1
        self.submitted += verdict.submitted
        self.ended += verdict.ended
        self.lost += len(verdict.lost)
        self.duplicated += verdict.duplicated
        self.stale += len(verdict.stale_writes_accepted)

    def __str__(self) -> str:
        """The line."""
        return (
            f"{self.name}: runs={self.runs} submitted={self.submitted} ended={self.ended} lost={self.lost} "
            f"duplicated={self.duplicated} stale={self.stale} seed={self.seed}"
        )
