"""`make secrets`: nothing is guessable, nothing is overwritten, and what goes wrong is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from compose.stack import ROOT

SCRIPT = ROOT / "scripts/make-secrets"

#: One without Alsek.
BARE_PYTHON = Path(sys.base_prefix) / "bin/python3"


def make(folder: Path, python: Path | str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", SCRIPT, folder], capture_output=True, text=True, check=False, timeout=60)


def test_secrets_are_made_once_and_nobody_gets_in_without_one(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made, again = make(folder), make(folder)

    assert (made.returncode, again.returncode, again.stdout) == (0, 0, "")
    texts = [path.read_text() for path in folder.glob("*")]
    assert len(set(texts)) == len(texts) == 10
    assert folder.stat().st_mode & 0o077 == 0, "others may look into the folder"
    users = [line.split() for line in (folder / "valkey_users.acl").read_text().splitlines()]
    assert users[0] == ["user", "default", "off"]
    assert {user[1] for user in users[1:]} == {"producer", "worker", "scheduler", "api", "exporter", "admin"}
    assert all(any(word.startswith("#") for word in user) and "nopass" not in user for user in users[1:])
    assert [user[1] for user in users if "+@all" in user] == ["admin"]


def test_without_alsek_one_line_says_what_to_run_and_nothing_is_written(tmp_path: Path) -> None:
    done = make(tmp_path / "secrets", BARE_PYTHON)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "run `make secrets`" in done.stderr
    assert not (tmp_path / "secrets").exists()


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = make(tmp_path / "file" / "secrets")

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "file/secrets" in done.stderr
