"""Upstream's import paths lead here, and say what to install when nobody is here."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_US = """
import sys

class Absent:
    def find_spec(self, name, path, target=None):
        if name == "alsek_worker":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""
POOLS = [("thread", "ThreadWorkerPool"), ("process", "ProcessWorkerPool")]


@pytest.mark.parametrize(("module", "name"), POOLS)
def test_upstreams_paths_lead_to_the_pools(module: str, name: str) -> None:
    import alsek_worker

    door = __import__(f"alsek.core.worker.{module}", fromlist=[name])

    assert getattr(door, name) is getattr(alsek_worker, name)


@pytest.mark.parametrize(("module", "name"), POOLS)
def test_a_door_without_the_service_names_the_package(module: str, name: str) -> None:
    program = f"{WITHOUT_US}\nfrom alsek.core.worker.{module} import {name}"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert run.returncode == 1
    assert "pip install alsek-worker" in run.stderr.splitlines()[-1]


def test_the_commands_are_imported_without_the_service_behind_them() -> None:
    program = "import sys, alsek_worker.commands; print(sorted({'redis', 'multiprocessing'} & set(sys.modules)))"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "[]"
