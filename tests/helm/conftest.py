"""The chart, and the Helm to render it with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from rendering import ROOT, Chart


@pytest.fixture(scope="session")
def chart() -> Chart:
    where = subprocess.run(
        [str(ROOT / "scripts/helm"), "--where"], capture_output=True, text=True, check=False, timeout=120
    )
    if where.returncode:
        pytest.skip(f"no Helm: {where.stderr.strip()}")
    return Chart(where.stdout.strip())
