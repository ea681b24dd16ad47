"""How an attempt ended, in a word and in one short line, as the history of a message keeps it."""

from __future__ import annotations

from typing import Final

import msgspec

from alsek.types import ExceptionDetails

_LONGEST: Final = 200


def note_of(error: bytes) -> str:
    """Give the name and text of an error in one line of at most 200 characters; empty where that cannot be read.

    Args:
        error: Exception details as they are stored.
    """
    if not error:
        return ""
    try:
        told = msgspec.json.decode(error, type=ExceptionDetails)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    text = " ".join((told.text or "").split())
    line = f"{told.name.rpartition('.')[2]}: {text}" if text else told.name
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def ending_of(reason: str, delay_ms: int, *, counts: bool) -> str:
    """Give the word for the attempt of a message that is given back; empty for one that was none.

    What goes back unharmed and at once was taken ahead, or its worker shut down.
    """
    if counts:
        return "refused" if reason == "unknown_task" else "crashed"
    return "postponed" if delay_ms else ""
