"""What a newcomer does in the first five minutes, with real processes: the seed's program, `alsek up`, the demo."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from harness.eventually import eventually
from harness.processes import Process, Processes, alsek, python
from harness.procfs import children, descendants
from harness.seeds import variation
from harness.server import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
FIELDS = [
    "task_name",
    "queue",
    "args",
    "kwargs",
    "priority",
    "metadata",
    "exception_details",
    "result_ttl",
    "uuid",
    "progenitor_uuid",
    "retries",
    "timeout",
    "created_at",
    "updated_at",
    "delay",
    "previous_result",
    "previous_message_uuid",
    "callback_message_data",
    "backoff_settings",
    "mechanism",
    "linked_lock",
]

SEED_SINGLETONS = """
from alsek import Broker
from alsek.storage.backends.redis import RedisBackend

backend = RedisBackend("<connection_url>")
broker = Broker(backend)
"""
SEED_TASKS = """
from alsek import task
from singletons import broker

@task(broker, queue="math_ops")
def add(a: int, b: int) -> int:
    return a + b
"""


@pytest.fixture
def program(tmp_path: Path, redis_url: str) -> Path:
    """A folder with the seed's two files, as they stand there but for the address."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "singletons.py").write_text(SEED_SINGLETONS.replace("<connection_url>", redis_url))
    (folder / "my_tasks.py").write_text(SEED_TASKS)
    return folder


def generate(folder: Path, *, url: str = "") -> str:
    """Run the seed's third file and give the uuid of the message that it printed."""
    code = "from my_tasks import add\nmessage = add.generate(args=(1, 1))\nprint(message)"
    environment = os.environ | ({"ALSEK_REDIS_URL": url} if url else {})
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("Message(", ")")
    assert [line.split("=")[0] for line in lines[1:-1]] == [f"    {name}" for name in FIELDS]
    assert "    task_name='add'," in lines
    assert "    queue='math_ops'," in lines
    assert "    args=(1, 1)," in lines
    assert "    timeout=3600000," in lines
    found = re.search(r"uuid='([0-9a-f-]{36})'", done.stdout)
    assert found is not None
    return found[1]


def check_story(process: Process, uuid: str) -> None:
    """The seed's sentences about one message stand in the log, in their order and format."""
    summary = f"Message(uuid='{uuid}', queue='math_ops', task='add')"
    process.wait_for_line(f"alsek.core.broker: Removed {summary}.")
    story = [
        f"[INFO] alsek.core.futures: Received {summary}...",
        f"[INFO] alsek.core.futures: Successfully processed {summary}.",
        f"[INFO] alsek.core.broker: Removing {summary}...",
        f"[INFO] alsek.core.broker: Removed {summary}.",
    ]
    told = [line for line in process.log.splitlines() if summary in line]
    assert [line[line.index("[INFO]") :] for line in told] == story
    stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[[^]]+\] \[[^]]+\] \[INFO\] "
    assert all(re.search(stamp, line) for line in told)


@pytest.mark.parametrize("before", [True, False], ids=["generated before the pool", "generated after it"])
def test_the_seeds_program_runs_as_it_stands(before: bool, program: Path, processes: Processes) -> None:
    uuid = generate(program) if before else ""

    pool = processes.start(alsek("thread-pool", "my_tasks"), cwd=program)
    pool.wait_for_line("alsek.core.worker._base: Worker pool online.")
    uuid = uuid or generate(program)

    check_story(pool, uuid)
    for sentence in (
        "alsek.core.worker._helpers: Monitoring 1 tasks",
        "alsek.core.worker.thread: Starting thread-based worker pool with up to ",
        "alsek.core.worker._base: Monitoring 1 queue(s).",
    ):
        assert sentence in pool.log
    assert pool.terminate() == 0
    eventually(lambda: not pool.orphans(), what="nothing is left behind")


def test_the_files_of_the_repository_are_the_seeds(program: Path) -> None:
    example = EXAMPLES / "first_program"

    def code(text: str) -> list[str]:
        return [line for line in text.splitlines() if line]

    assert code((example / "singletons.py").read_text()) == code(SEED_SINGLETONS.replace('"<connection_url>"', ""))
    assert code((example / "my_tasks.py").read_text()) == code(SEED_TASKS)


# -- alsek up ------------------------------------------------------------------------------------------------------


@pytest.fixture
def free_url() -> str:
    return f"redis://localhost:{free_port()}/0"


def start_up(processes: Processes, url: str, tmp_path: Path) -> Process:
    process = processes.start(
        alsek("up", "my_tasks", "--data-dir", str(tmp_path / "data")),
        cwd=EXAMPLES / "first_program",
        env={"ALSEK_REDIS_URL": url},
    )
    process.wait_for_line("Worker pool online.")
    return process


def is_served(url: str) -> bool:
    with redis.Redis.from_url(url, retry=None) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def pid_of(process: Process, *words: str) -> int:
    """Pid of the member whose command line has these words: the child of a keeper, not the keeper."""
    keepers = [found for found in descendants(process.pid) if " -I -S -c " in found.command]
    [found] = [f for keeper in keepers for f in children(keeper.pid) if all(word in f.command for word in words)]
    return found.pid


@pytest.mark.parametrize("number", [signal.SIGINT, variation(signal.SIGTERM)])
def test_up_starts_a_server_and_a_worker_and_one_signal_stops_both(
    number: int, processes: Processes, free_url: str, tmp_path: Path
) -> None:
    up = start_up(processes, free_url, tmp_path)
    uuid = generate(EXAMPLES / "first_program", url=free_url)
    check_story(up, uuid)

    # To the whole group, as a terminal does it: the server must not go before the worker.
    os.killpg(up.pid, number)

    assert up.wait() == 0
    assert "alsek  | Valkey listens at " in up.log
    assert "worker | " in up.log
    assert "shutting down" in up.log
    assert "ERROR" not in up.log
    eventually(lambda: not up.orphans(), what="nothing is left behind")
    assert not is_served(free_url)


def test_up_finds_its_data_again(processes: Processes, free_url: str, tmp_path: Path) -> None:
    up = start_up(processes, free_url, tmp_path)
    with redis.Redis.from_url(free_url) as client:
        client.set("kept", "yes")
    assert up.terminate() == 0

    up = start_up(processes, free_url, tmp_path)

    with redis.Redis.from_url(free_url) as client:
        assert client.get("kept") == b"yes"
    assert up.terminate() == 0


def test_up_uses_the_server_that_answers_already(processes: Processes, redis_url: str, tmp_path: Path) -> None:
    up = start_up(processes, redis_url, tmp_path)

    assert "A server answers at" in up.log
    assert not (tmp_path / "data").exists()
    assert up.terminate() == 0
    assert is_served(redis_url)


@pytest.mark.parametrize(
    ("name", "words"),
    [("worker", ("alsek_worker", "worker")), ("server", ("valkey-server",))],
    ids=["worker", "server"],
)
def test_when_one_part_dies_up_stops_the_rest_and_says_so(
    name: str, words: tuple[str, ...], processes: Processes, free_url: str, tmp_path: Path
) -> None:
    up = start_up(processes, free_url, tmp_path)

    os.kill(pid_of(up, *words), signal.SIGKILL)

    assert up.wait() == 128 + signal.SIGKILL
    assert f"The {name} ended with code 137, so the rest is stopped." in up.log
    eventually(lambda: not up.orphans(), what="nothing is left behind")


def test_nothing_outlives_a_killed_up(processes: Processes, free_url: str, tmp_path: Path) -> None:
    up = start_up(processes, free_url, tmp_path)

    up.kill()

    eventually(lambda: not up.orphans(), 20, what="nothing is left behind")
    assert not is_served(free_url)


# -- the demo ------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for temporary files: what Python puts there has to fit into the address of a socket (108 characters)."""
    with tempfile.TemporaryDirectory(prefix="alsek-test-") as folder:
        yield Path(folder)


def test_the_demo_shows_everything_and_leaves_nothing(processes: Processes, short_folder: Path) -> None:
    demo = processes.start(
        python(str(EXAMPLES / "demo" / "run.py")), env={"TMPDIR": str(short_folder), "COLUMNS": "120"}
    )

    assert demo.wait(60) == 0, demo.log
    for sight in ("400/400", "well at attempt 3", "CALLBACKS!", "5,133", "SUCCEEDED"):
        assert sight in demo.log
    assert "Traceback" not in demo.log
    eventually(lambda: not demo.orphans(), what="nothing is left behind")
    assert not list(short_folder.iterdir())
