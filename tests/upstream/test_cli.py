"""§13: the program `alsek`, the discovery of tasks, the log."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import alsek as package
from alsek.exceptions import NoTasksFoundError, TaskNameCollisionError
from alsek.utils.logging import get_logger, setup_logging
from alsek.utils.scanning import collect_tasks
from harness.eventually import eventually
from harness.processes import Process, Processes, alsek

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

TASKS = """
from alsek import Broker, task
from alsek.storage.backends.redis import RedisBackend

broker = Broker(RedisBackend({url!r}, namespace="cli"))

@task(broker, queue="here")
def work(): ...
"""

#: Every option of upstream's, as its users spelt it.
SHARED = [
    "--queues", "here, there", "--task_specific_mode", "--n_processes", "1", "--slot_wait_interval", "20",
    "--consumer_backoff_factor", "100", "--consumer_backoff_floor", "100", "--consumer_backoff_ceiling", "1000",
    "--log-level", "debug",
]  # fmt: skip
THREADS = ["--n_threads", "2", "--n_process_floor", "1", "--complete_only_on_thread_exit"]
PROCESSES = ["--prune_interval", "50"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(alsek(*words), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def folder(tmp_path: Path, redis_url: str) -> Path:
    """A folder with a module and a package of tasks."""
    text = TASKS.format(url=redis_url)
    (tmp_path / "cli_tasks.py").write_text(text)
    (tmp_path / "cli_heavy.py").write_text(text.replace('queue="here"', 'queue="here", mechanism="process"'))
    (tmp_path / "cli_package" / "sub").mkdir(parents=True)
    (tmp_path / "cli_package" / "__init__.py").write_text("")
    (tmp_path / "cli_package" / "sub" / "__init__.py").write_text("")
    (tmp_path / "cli_package" / "sub" / "deep.py").write_text(text)
    return tmp_path


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder as the current one."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.startswith("cli_")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


# -- the program -----------------------------------------------------------------------------------------------------


def test_the_version_is_printed() -> None:
    done = run("--version")

    assert (done.returncode, done.stdout.strip()) == (0, package.__version__)


def test_help_names_the_pools() -> None:
    done = run("--help")

    assert done.returncode == 0
    assert {"thread-pool", "process-pool"} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "module", "options"),
    [("thread-pool", "cli_tasks", [*SHARED, *THREADS]), ("process-pool", "cli_heavy", [*SHARED, *PROCESSES])],
)
def test_a_pool_takes_all_options_of_upstreams_and_ends_well(
    command: str, module: str, options: list[str], folder: Path, processes: Processes
) -> None:
    pool = processes.start(alsek(command, module, *options), cwd=folder)
    pool.wait_for_line("Worker pool online.")

    assert pool.terminate() == 0
    assert "Worker pool shutting down..." in pool.log
    eventually(lambda: not pool.orphans(), what="nothing is left")


@pytest.mark.parametrize("name", ["cli_package", "cli_package.sub", "cli_package.sub.deep"])
def test_a_package_is_named_by_dots_and_the_short_option_is_accepted(
    name: str, folder: Path, processes: Processes
) -> None:
    pool = processes.start(alsek("thread-pool", name, "-qu", "here", "--n-processes", "1"), cwd=folder)
    pool.wait_for_line("Worker pool online.")
    pool.signal(signal.SIGINT)

    assert pool.wait() == 0


def test_the_beginning_is_logged_in_upstreams_words(pools: list[Process]) -> None:
    for sentence in (
        "Starting thread-based worker pool with up to 8 workers (4 max threads and 2 max processes)...",
        "alsek.core.worker._base: Worker pool online.",
    ):
        assert sentence in pools[0].log
    assert "Starting process-based worker pool with up to 2 workers (2 max processes)..." in pools[1].log


# -- discovery -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cli_tasks", "cli_package"])
def test_tasks_of_a_module_or_package_are_collected(name: str, importable: Path) -> None:
    tasks = collect_tasks(name)

    assert isinstance(tasks, tuple)
    assert [task.name for task in tasks] == ["work"]


def test_a_module_object_will_do(stage: ModuleType) -> None:
    assert stage.add in collect_tasks(stage)


def test_anything_else_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        collect_tasks(7)  # type: ignore[arg-type]


def test_a_module_without_tasks_is_refused() -> None:
    with pytest.raises(NoTasksFoundError):
        collect_tasks("json.decoder")


def test_two_tasks_under_one_name_are_refused(importable: Path) -> None:
    (importable / "cli_package" / "twin.py").write_text((importable / "cli_tasks.py").read_text())

    with pytest.raises(TaskNameCollisionError):
        collect_tasks("cli_package")


# -- the log ---------------------------------------------------------------------------------------------------------


def test_the_logger_is_named_alsek_and_importing_configures_nothing() -> None:
    code = """
import logging, alsek.cli.cli, alsek.core.worker.thread
logger = logging.getLogger("alsek")
print(logger.handlers, logger.level, logger.propagate)
"""

    assert get_logger().name == "alsek"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[] 0 True\n"


def test_setting_up_gives_one_handler_on_stderr_and_upstreams_format(capsys: pytest.CaptureFixture[str]) -> None:
    logger = get_logger()
    before = (logger.handlers[:], logger.level, logger.propagate)
    try:
        setup_logging(logging.ERROR)
        setup_logging(logging.INFO)

        assert (len(logger.handlers), logger.level, logger.propagate) == (1, logging.INFO, False)
        logging.getLogger("alsek.core.broker").info("text")
        logging.getLogger("alsek.core.broker").debug("no text")
        stamp = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\]"
        line = rf"{stamp} \[MainProcess\] \[MainThread\] \[INFO\] alsek\.core\.broker: text\n"
        assert re.fullmatch(line, capsys.readouterr().err)
    finally:
        logger.handlers[:], logger.level, logger.propagate = before


def test_worker_processes_log_at_the_level_of_the_pool(folder: Path, processes: Processes) -> None:
    pool = processes.start(alsek("thread-pool", "cli_tasks", "--n_processes", "1", "--log-level", "WARN"), cwd=folder)
    eventually(lambda: len(pool.tree()) >= 3, what="its children run")
    code = "import cli_tasks; m = cli_tasks.work.generate();\nwhile cli_tasks.broker.exists(m): pass"
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=120)

    assert pool.terminate() == 0
    assert pool.log == ""
