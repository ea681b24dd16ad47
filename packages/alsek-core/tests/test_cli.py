"""The command line: quick to start, and every mistake told in one line."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
import redis

from alsek import Broker, Message
from alsek.cli import cli
from alsek.cli.announced import announced
from alsek.cli.services import HOMES
from alsek.storage.backends.redis import RedisBackend
from harness.server import free_port

COMMANDS = (*cli.COMMANDS, *HOMES)

ALSEK = str(Path(sys.executable).with_name("alsek"))


def run(*args: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ALSEK, *args], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


def python(code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=60)


def test_the_version_is_that_of_the_core() -> None:
    done = run("--version")

    assert (done.returncode, done.stdout.strip()) == (0, version("alsek-core"))


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_a_start_loads_nothing_that_only_some_command_needs(arguments: list[str]) -> None:
    code = f"""
import sys
from alsek.cli.cli import main
try:
    main({arguments})
except SystemExit as end:
    assert not end.code
heavy = ("redis", "rich", "structlog", "msgspec", "croniter", "asyncio", "uvicorn", "fastapi", "prometheus_client",
         "multiprocessing", "alsek.settings", "alsek.core.broker", "alsek.tools.inspector", "alsek_worker.pool")
if {arguments} == ["--help"]:
    heavy += ("importlib.metadata",)
print([name for name in heavy if name in sys.modules])
"""
    done = python(code)

    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_what_is_announced_here_is_what_importlib_finds() -> None:
    for group in ("alsek.commands", "alsek.candidates", "console_scripts", "pytest11", "nobody.has.this"):
        assert announced(group) == {one.name: one.value.partition("[")[0].strip() for one in entry_points(group=group)}


def test_a_distribution_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {
        "alpha-1.dist-info": b"[console_scripts]\nother = one:two\n[alsek.commands]\n# first\nmine = a.b:run [extra]\n",
        "beta-1.egg-info": b"[alsek.commands]\nmine=c:run\nyours = d:run\n[other]\nno = e:run\n",
        "gamma-1.dist-info": b"\xff[alsek.commands]\nbroken = f:run\n",
        "delta-1.dist-info": None,
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "entry_points.txt").write_bytes(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nowhere"), str(tmp_path)])

    assert announced("alsek.commands") == {"mine": "a.b:run", "yours": "d:run"}


def test_help_makes_no_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[str] = []
    monkeypatch.setattr(cli, "made", lambda _loaded, name: made.append(name))

    with pytest.raises(SystemExit):
        cli.main(["--help"], prog_name="alsek")

    assert "\n  queues  " in capsys.readouterr().out
    assert made == []


def test_help_lists_the_commands_of_the_core_and_of_installed_services_with_examples() -> None:
    done = run("--help")

    assert done.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in done.stdout
    assert "alsek up my_tasks" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"], prog_name="alsek")

    told = capsys.readouterr().out
    assert not end.value.code
    assert "Examples:\n" in told
    assert f"  alsek {command}" in told


@pytest.mark.parametrize(("command", "package"), sorted(HOMES.items()))
def test_a_command_of_a_service_that_is_not_installed_names_the_package(command: str, package: str) -> None:
    done = python(f"""
import alsek.cli.services as services
services.announced = lambda group: {{}}
from alsek.cli.cli import main
main(["{command}", "my_tasks"])
""")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [f"alsek: `alsek {command}` comes with {package}: pip install {package}"]


def test_a_mistyped_command_is_told_with_the_one_that_was_meant() -> None:
    done = run("thread-pol", "my_tasks")

    assert done.returncode == 2
    assert done.stderr.splitlines() == ["alsek: there is no command `thread-pol`; did you mean `alsek thread-pool`?"]


def test_a_mistake_shows_its_traceback_only_to_who_asks(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")

    plain = run("up", "broken", cwd=tmp_path)
    asked = run("--traceback", "up", "broken", cwd=tmp_path)
    by_environment = run("up", "broken", cwd=tmp_path, ALSEK_TRACEBACK="1")

    assert plain.returncode == 2
    assert plain.stderr.splitlines() == ["alsek: Could not import 'broken': ZeroDivisionError: division by zero"]
    for done in (asked, by_environment):
        assert done.returncode != 0
        assert "Traceback (most recent call last)" in done.stderr
        assert "1 / 0" in done.stderr


def test_the_command_line_can_be_run_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "alsek.cli", "--help"], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0
    assert done.stdout.startswith("Usage: alsek ")


# -- alsek fsck ----------------------------------------------------------------------------------------------------


@pytest.fixture
def message(redis_url: str) -> Message:
    """A message that waits in the namespace `shop`."""
    message = Message("add", queue="math_ops", args=(1, 1))
    Broker(RedisBackend(redis_url, namespace="shop")).submit(message)
    return message


def lose(message: Message, client: redis.Redis) -> None:
    assert client.delete(f"{{shop:0}}:m:{message.uuid}") == 1


def test_fsck_finds_nothing_where_all_is_whole(message: Message, redis_url: str) -> None:
    done = run("fsck", "--namespace", "shop", ALSEK_REDIS_URL=redis_url)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("Checked in namespace shop: ")
    assert "1 ready" in done.stdout
    assert done.stdout.splitlines()[-1] == "Everything is whole."


def test_fsck_names_what_is_wrong_and_fails(message: Message, redis_url: str, redis_client: redis.Redis) -> None:
    lose(message, redis_client)

    done = run("fsck", "--namespace", "shop", "--url", redis_url)

    assert done.returncode == 1
    assert message.uuid in done.stdout
    assert "math_ops" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 finding."


def test_fsck_writes_json_for_programs(message: Message, redis_url: str, redis_client: redis.Redis) -> None:
    whole = run("fsck", "--namespace", "shop", "--url", redis_url, "--json")
    lose(message, redis_client)

    broken = run("fsck", "--namespace", "shop", "--url", redis_url, "--json")

    assert (whole.returncode, json.loads(whole.stdout)["ok"]) == (0, True)
    report = json.loads(broken.stdout)
    assert (broken.returncode, report["ok"]) == (1, False)
    assert [finding["uuid"] for finding in report["findings"]] == [message.uuid]


def test_fsck_that_cannot_ask_is_no_finding() -> None:
    port = free_port()

    done = run("fsck", "--url", f"redis://127.0.0.1:{port}/0")

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(port) in done.stderr
