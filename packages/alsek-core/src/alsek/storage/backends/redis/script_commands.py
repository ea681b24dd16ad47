"""Which commands the scripts run: read from their text, so that no list can fall behind."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Final

from alsek.storage.backends.redis.scripts import script
from alsek.storage.backends.redis.values import value_script

_CALL: Final = re.compile(rb"redis\.p?call\(\s*'([A-Za-z]+)'")


@cache
def script_names() -> list[str]:
    """Name every script."""
    return sorted([*_names("lua"), *_names("lua_values")])


def commands_of(name: str) -> set[str]:
    """Give the commands that a script may run, in lower case."""
    source = (script(name) if name in _names("lua") else value_script(name)).source
    return {command.decode().lower() for command in _CALL.findall(source)}


@cache
def _names(folder: str) -> frozenset[str]:
    found = (entry.name for entry in files(__package__).joinpath(folder).iterdir())
    return frozenset(name.removesuffix(".lua") for name in found if name.endswith(".lua") and not name.startswith("_"))
