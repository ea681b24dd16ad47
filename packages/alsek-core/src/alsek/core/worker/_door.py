"""What the doors say when nobody is at home."""

from __future__ import annotations

from alsek.exceptions import MissingExtraError


def missing(name: str) -> MissingExtraError:
    """Say which package brings a pool."""
    return MissingExtraError(f"{name} is part of the worker service: pip install alsek-worker", extra="alsek-worker")
