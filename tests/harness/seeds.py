"""Chaos that can be repeated: one seed and one size knob for every random test."""

import os
import random
from pathlib import Path
from typing import Any

import pytest


def chaos_seed(journal: str | Path | None = None) -> int:
    """The seed of this run, printed with the journal folder.

    `ALSEK_CHAOS_SEED` replays a run; otherwise a new seed is made.

    Args:
        journal: Folder holding the evidence of this run.
    """
    given = os.environ.get("ALSEK_CHAOS_SEED")
    seed = int(given) if given else random.SystemRandom().randrange(2**31)
    where = f" journal={journal}" if journal else ""
    print(f"ALSEK_CHAOS_SEED={seed}{where}", flush=True)
    return seed


def chaos_size(small: int, full: int) -> int:
    """How many rounds a random test makes.

    Args:
        small: For `make test`.
        full: With `ALSEK_CHAOS_FULL=1`, and the ceiling of `small` times `ALSEK_CHAOS_SCALE` (`make chaos`).
    """
    if os.environ.get("ALSEK_CHAOS_FULL") == "1":
        return full
    return min(full, round(small * float(os.environ.get("ALSEK_CHAOS_SCALE", "1"))))


def variation(*values: Any) -> Any:
    """A case beside those that `make test` runs: `make chaos` runs it, too."""
    return pytest.param(*values, marks=pytest.mark.slow)
