"""Time travel on a server that belongs to tests: the clock stays, and what waits for a moment comes nearer to it.

The engine's clock is that of Redis, read inside its scripts, and no test can turn it. So the moments are moved instead,
by a script of the tests' own: the scripts that serve production know nothing of it.
"""

from __future__ import annotations

import math
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from alsek.exceptions import ValidationError
from alsek.storage.backends.redis.link import Call
from alsek.storage.backends.redis.scripts import Script

if TYPE_CHECKING:
    from alsek.storage.backends.redis.standard import RedisBackend


def travel(backend: RedisBackend, seconds: Any) -> None:
    """Let `seconds` pass on the server behind a backend: the tests' own, for all that is there is moved.

    Raises:
        ValidationError: `seconds` is no number of at least 0.
    """
    if type(seconds) not in (int, float) or not 0 <= seconds < math.inf:
        raise ValidationError(f"time travels forward, by a number of seconds: {seconds!r}")
    backend.links.execute([Call(_script(), (), (math.ceil(seconds * 1000),))])


@cache
def _script() -> Script:
    source = files(__package__).joinpath("travel.lua").read_bytes()
    return Script("travel", source, sha1(source, usedforsecurity=False).hexdigest().encode())
