"""`.ci/run`: a stage that takes more than this machine has is skipped and says so; one that fails ends the run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RUN = (Path(__file__).parents[2] / ".ci/run").read_text()


@pytest.mark.parametrize(
    ("limit", "stage", "code", "said"),
    [
        (60, "echo 'SKIPPED [3] tests/a.py:1: no docker here'", 0, "=== skipped: no docker here\n"),
        (60, "echo 3 passed", 0, "3 passed\n"),
        (60, "echo '1 failed'; exit 1", 1, "1 failed\n"),
        (1, "exec sleep 60", 0, "=== skipped: not done within 1 s\n"),
        (60, "echo ${CI-nobody asks for all tools}", 0, "nobody asks for all tools\n"),
    ],
    ids=["lacks a tool", "passes", "fails", "takes too long", "is not told that it is CI"],
)
def test_a_stage_that_is_optional(limit: int, stage: str, code: int, said: str) -> None:
    start, end = RUN.index("optional() {"), RUN.index("\nuname")
    script = f'set -euo pipefail\nexport CI=true\n{RUN[start:end]}\noptional {limit} sh -c "$1"\necho went on'

    done = subprocess.run(["bash", "-c", script, "run", stage], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == code, done.stdout + done.stderr
    assert said in done.stdout
    assert ("went on" in done.stdout) == (code == 0)
