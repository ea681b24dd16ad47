"""A peer in one configuration, described by its folder under `peers/`."""

import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.environments import PreparationError, ensure_node, ensure_python
from harness.paths import KIT, PEERS, REPOSITORY


@dataclass(frozen=True, slots=True)
class Contender:
    """One line of a table: a peer and a variant of it."""

    peer: str
    variant: str
    folder: Path
    runtime: str
    ours: bool = False
    #: One worker command starts as many processes as asked.
    native_processes: bool = False
    #: Kinds of enqueueing it has no call for.
    lacks: frozenset[str] = frozenset()
    #: Scenarios it takes part in; empty means all that do not ask for more.
    only: frozenset[str] = frozenset()
    #: Most messages per measurement, for the slow.
    limit: int | None = None
    #: Bears the big sizes (200,000 and more).
    large: bool = False
    note: str = ""

    @property
    def name(self) -> str:
        return f"{self.peer}:{self.variant}"

    def command(self, *arguments: str) -> list[str]:
        """Give the command line of its adapter."""
        if self.runtime == "node":
            node = shutil.which("node")
            if node is None:
                raise PreparationError(f"{self.peer} needs node 20 or newer")
            return [node, str(self.folder / "adapter.cjs"), *arguments]
        return [str(self._python()), str(self.folder / "adapter.py"), *arguments]

    def program(self, name: str) -> Path:
        """Give a console script of its environment."""
        return self._python().parent / name

    def environment(self) -> dict[str, str]:
        """Give what its processes need to find their libraries."""
        if self.runtime == "node":
            return {"NODE_PATH": str(self._modules()), "NODE_ENV": "production"}
        # The peer's folder holds the tasks module, the kit the tally.
        return {"PYTHONPATH": f"{KIT}:{self.folder}"}

    def prepare(self) -> None:
        """Make its environment if it is missing."""
        self._modules() if self.runtime == "node" else self._python()

    def _python(self) -> Path:
        if self.runtime == "repository":
            python = REPOSITORY / ".venv" / "bin" / "python"
            if not python.exists():
                raise PreparationError(f"{python} is missing: run `make test` or `make demo` once")
            return python
        return ensure_python(self.peer, self.folder / "requirements.txt")

    def _modules(self) -> Path:
        return ensure_node(self.peer, self.folder / "package.json")


def contenders() -> list[Contender]:
    """Read every peer's folder; ours first, then by name."""
    found = []
    for path in sorted(PEERS.glob("*/peer.toml")):
        described = tomllib.loads(path.read_text())
        for variant, settings in described["variants"].items():
            found.append(_contender(path.parent, described, variant, settings))
    return sorted(found, key=lambda each: (not each.ours, each.peer, each.variant))


def _contender(folder: Path, peer: dict[str, Any], variant: str, own: dict[str, Any]) -> Contender:
    settings = {key: value for key, value in peer.items() if key != "variants"} | own
    return Contender(
        peer=folder.name,
        variant=variant,
        folder=folder,
        runtime=settings["runtime"],
        ours=settings.get("ours", False),
        native_processes=settings.get("native_processes", False),
        lacks=frozenset(settings.get("lacks", ())),
        only=frozenset(settings.get("only", ())),
        limit=settings.get("limit"),
        large=settings.get("large", False),
        note=settings.get("note", ""),
    )
