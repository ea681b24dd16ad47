"""The reference is what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["cli.md", "settings.md", "metrics.md", "http-api.md"])
def test_the_reference_is_what_the_code_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Help is wrapped to the terminal, and typer asks these for it.
    for variable in ("COLUMNS", "TERMINAL_WIDTH", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)

    written = (ROOT / "docs" / "reference" / name).read_text()

    assert reference.pages()[name] == written, "the code has changed: `make reference` writes the pages anew"
