"""The chart, rendered by a real Helm, and its objects by kind and name."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/alsek"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


class Chart:
    """What Helm makes of the chart."""

    def __init__(self, helm: str) -> None:
        self._helm = helm
        self._rendered = cache(self._render)

    def run(self, *args: str, values: str = "{}") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._helm, *args, "--values", "-"], input=values, capture_output=True, text=True, check=False, timeout=60
        )

    def package(self, folder: Path) -> None:
        """Make the archive that a repository of charts would serve."""
        subprocess.run(
            [self._helm, "package", str(CHART), "--destination", str(folder)],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def render(self, values: dict[str, Any] | Path, *options: str) -> Objects:
        """Give the objects of a release called `rel` in the namespace `ns`."""
        text = values.read_text() if isinstance(values, Path) else yaml.safe_dump(values)
        return self._rendered(text, options)

    def notes(self, values: dict[str, Any], folder: Path) -> str:
        """Give NOTES.txt of a release `rel` in `ns`: what `helm install` says at its end.

        Helm shows it only where a cluster answers, so a copy of the chart has it rendered into an object.
        """
        copy = folder / "alsek"
        if not copy.exists():
            shutil.copytree(CHART, copy)
            (copy / "templates/NOTES.txt").rename(copy / "files/notes")
            (copy / "templates/notes.yaml").write_text(
                'kind: Notes\nmetadata: {name: notes}\ntext: {{ tpl (.Files.Get "files/notes") . | toJson }}\n'
            )
        done = self.run("template", "rel", str(copy), "--namespace", "ns", "--show-only", "templates/notes.yaml",
            values=yaml.safe_dump(values),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        text: str = yaml.safe_load(done.stdout)["text"]
        return text

    def refusal(self, values: dict[str, Any]) -> str:
        """Give what Helm says about values that do not go together."""
        done = self.run("template", "rel", str(CHART), values=yaml.safe_dump(values))
        assert done.returncode != 0, "it was rendered"
        return done.stderr

    def _render(self, text: str, options: tuple[str, ...]) -> Objects:
        done = self.run("template", "rel", str(CHART), "--namespace", "ns", *options, values=text)
        assert done.returncode == 0, done.stderr
        return Objects([one for one in yaml.safe_load_all(done.stdout) if one])


class Objects(list[dict[str, Any]]):
    """Rendered objects, found by kind and name."""

    def named(self, kind: str, name: str = "") -> dict[str, Any]:
        found = [one for one in self if one["kind"] == kind and (not name or one["metadata"]["name"] == name)]
        assert len(found) == 1, [(one["kind"], one["metadata"]["name"]) for one in self]
        return found[0]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self if one["kind"] == kind]

    def pods(self) -> dict[str, dict[str, Any]]:
        """Pod templates by the name of their owner."""
        return {
            one["metadata"]["name"]: one["spec"]["template"]
            for one in self
            if one["kind"] in ("Deployment", "StatefulSet")
        }

    def container(self, owner: str) -> dict[str, Any]:
        """The service's own container."""
        found: dict[str, Any] = self.pods()[owner]["spec"]["containers"][0]
        return found
