"""How far a running task has come: the value that it reports, and the form in which a record keeps it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from alsek.exceptions import ValidationError

#: Characters of a note; the rest is cut off, as a long one is no reason for a task to fail.
MOST_NOTE = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """What a task said about itself.

    Attributes:
        done: Units that are done.
        total: Units there are; `None` while nobody knows.
        note: A few words for people.
    """

    done: float
    total: float | None = None
    note: str | None = None

    @property
    def fraction(self) -> float | None:
        """Part that is done, 0 to 1; `None` while the total is not known."""
        return None if self.total is None else min(1.0, self.done / self.total)

    @property
    def complete(self) -> bool:
        """Whether everything is done."""
        return self.total is not None and self.done >= self.total

    def __str__(self) -> str:
        shown = f"{self.done:g}" if self.total is None else f"{self.done:g} of {self.total:g}"
        return f"{shown}: {self.note}" if self.note else shown

    def as_dict(self) -> dict[str, Any]:
        """Give it as the details of a status update."""
        return asdict(self)


def check_progress(done: Any, total: Any = None, note: Any = None) -> Progress:
    """Make a progress of what a task said.

    Raises:
        ValidationError: Numbers that are none, or negative; a note that is no text.
    """
    if not _is_amount(done):
        raise ValidationError(f"progress(done) takes a number, 0 or more: {done!r}")
    if total is not None and not (_is_amount(total) and total > 0):
        raise ValidationError(f"progress(total) takes a number above 0, or None: {total!r}")
    if note is not None and not isinstance(note, str):
        raise ValidationError(f"progress(note) takes a text: {note!r}")
    if note is not None and len(note) > MOST_NOTE:
        note = note[: MOST_NOTE - 1] + "…"
    return Progress(done, total, note)


def pack_progress(progress: Progress, fence: int) -> bytes:
    """Give the form in which the record keeps it: with the fence of its run, so that a later run is told apart."""
    return b"%d %b" % (fence, msgspec.json.encode(progress))


def open_progress(stored: bytes, fence: int) -> Progress | None:
    """Read what the record keeps; `None` for nothing, for what an earlier run said, and for what cannot be read."""
    run, _, text = stored.partition(b" ")
    if not text or run != b"%d" % fence:
        return None
    try:
        fields = msgspec.json.decode(text, type=dict)
        return check_progress(fields["done"], fields["total"], fields["note"])
    except (msgspec.DecodeError, KeyError, ValidationError):
        return None


def _is_amount(value: Any) -> bool:
    # bool is an int to Python, and no amount to people.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
