"""The Lua verbs as values: text, digest, and the codes they answer."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final, NamedTuple

_INCLUDE: Final = re.compile(r"^-- include: (_\w+)\n", re.MULTILINE)


class Code(IntEnum):
    """What a verb answers for one message."""

    #: Submit: a message with this uuid is alive already. Revoke: it runs, and was to be left alone.
    EXISTS = 0
    DONE = 1
    #: The same caller did exactly this before (its first answer was lost).
    REPEATED = 2
    #: Release: the deliveries are used up, the message went to the dead letters.
    DEAD = 3
    #: Revoke: it was running; its worker has been told.
    INTERRUPTED = 4
    MISSING = -1
    #: The lease lapsed, or the message ended otherwise: the caller changed nothing.
    STALE = -2
    REVOKED = -3

    @property
    def accepted(self) -> bool:
        """Tell whether the caller's wish holds now."""
        return self > 0


class Script(NamedTuple):
    """One verb: its source, and the digest that Redis knows it by."""

    name: str
    source: bytes
    digest: bytes


@cache
def script(name: str) -> Script:
    """Load a verb from its file.

    Args:
        name: File name without `.lua`.
    """
    folder = files(__package__).joinpath("lua")
    text = _INCLUDE.sub(
        lambda found: folder.joinpath(f"{found[1]}.lua").read_text(), folder.joinpath(f"{name}.lua").read_text()
    )
    source = text.encode()
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest().encode())
