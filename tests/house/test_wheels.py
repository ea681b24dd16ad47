"""What a user installs is whole: the wheels carry the scripts, the types and the commands."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def build(project: str, folder: Path) -> zipfile.ZipFile:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT / project,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


@pytest.mark.parametrize(
    ("project", "package"),
    [
        ("packages/alsek-core", "alsek"),
        ("services/worker", "alsek_worker"),
        ("services/scheduler", "alsek_scheduler"),
        ("services/api", "alsek_api"),
    ],
)
def test_the_wheel_carries_every_file_of_the_package(project: str, package: str, tmp_path: Path) -> None:
    source = ROOT / project / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / package).rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".pyo"}
    }

    packed = set(build(project, tmp_path).namelist())

    assert f"{package}/py.typed" in wanted
    assert wanted <= packed


def test_the_worker_announces_its_commands(tmp_path: Path) -> None:
    wheel = build("services/worker", tmp_path)
    [entry_points] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]

    announced = wheel.read(entry_points).decode()

    assert "[alsek.commands]" in announced
    for command in ("thread-pool", "process-pool", "async-pool", "worker"):
        assert f"{command} = alsek_worker.commands:" in announced
