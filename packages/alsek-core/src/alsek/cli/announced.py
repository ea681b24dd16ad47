"""What installed distributions announce in a group of entry points.

`importlib.metadata` says the same, and takes longer to import and to ask than everything else that `alsek --help` does.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Folders beside the packages in which installers leave what a distribution says of itself.
_FOLDERS: Final = (".dist-info", ".egg-info")


def announced(group: str) -> dict[str, str]:
    """Give the entry points of a group: name → `module:attribute`; what stands first on the path counts."""
    found: dict[str, str] = {}
    for folder in sys.path:
        for text in _texts(folder or "."):
            if group in text:
                for name, value in _section(text, group):
                    found.setdefault(name, value)
    return found


def _texts(folder: str) -> Iterator[str]:
    """Read the entry points of the distributions in a folder; what cannot be read announces nothing."""
    try:
        names = [entry.path for entry in os.scandir(folder) if entry.name.endswith(_FOLDERS)]
    except OSError:
        return
    for path in sorted(names):
        try:
            yield Path(path, "entry_points.txt").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue


def _section(text: str, group: str) -> Iterator[tuple[str, str]]:
    """Give the lines of one section: `name = module:attribute`, perhaps with extras, which bind nobody."""
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{group}]"
        elif inside and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()
