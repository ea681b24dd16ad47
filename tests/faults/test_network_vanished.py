"""N2: the other end of all connections is gone, and nobody said so; only TCP itself can find out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from harness.journal import JOURNAL_VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from harness.processes import Processes

HEALED_S = 10.0


def _own_networks() -> bool:
    """Whether a process may have a network of its own here (Linux, as root)."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _own_networks(), reason="takes Linux, `unshare -n` and `ip`")
def test_idle_workers_notice_within_ten_seconds(processes: Processes, tmp_path: Path) -> None:
    run = processes.start(
        ["unshare", "-n", sys.executable, "-m", "faults.vanished_scenario", str(tmp_path / "run")],
        name="vanished",
        env={
            JOURNAL_VARIABLE: str(tmp_path / "run" / "journal"),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )

    assert run.wait(90) == 0, run.log

    told = json.loads(run.log.splitlines()[-1])
    print(f"N2 vanished: {told}", flush=True)
    assert told["cut"] >= 3
    assert max(told["healed"].values()) < HEALED_S
    assert told["duplicated"] == 0
    assert told["code"] == 0
