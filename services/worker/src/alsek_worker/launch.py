"""From a parsed command line to a running pool.

The command-line library weighs 14 MB, which a supervisor would carry along for as long as
it lives. So the program `alsek` replaces itself by a lean one as soon as it has read its
arguments: same process, same terminal, `python -m alsek_worker`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

#: Carries the parsed command line over to the lean program.
ENV_VAR = "ALSEK_WORKER_LAUNCH"

#: As the program `alsek` has it: show the traceback of a mistake too.
TRACEBACK_VARIABLE = "ALSEK_TRACEBACK"

#: Exit codes: the pool could not go on; it could not begin, and the one line on stderr says what to change.
FAILED = 1
REFUSED = 2


@dataclass(frozen=True, slots=True)
class Launch:
    """One command line, understood.

    Attributes:
        command: As it is typed: `thread-pool`, `process-pool`, `async-pool` or `worker`.
        package: What to import.
        queues: In order of preference; `None`: those of the tasks.
        task_specific: Take only messages of the package's tasks.
        pool: Parameters of the pool's class.
        settings: Fields of `Settings` that were chosen.
    """

    command: str
    package: str
    queues: list[str] | None
    task_specific: bool
    pool: dict[str, Any]
    settings: dict[str, Any]


def start(launch: Launch) -> None:
    """Run a pool until it is stopped; leaves the process with an exit code when that goes wrong.

    Raises:
        SystemExit: 2: it could not begin; 1: it could not go on. Stderr says why in one line.
    """
    program = Path(sys.argv[0])
    if (program.name == "alsek" or program.parts[-3:] == ("alsek", "cli", "__main__.py")) and (
        launch.command in sys.argv[1:]
    ):
        # Interpreter flags stay; -P keeps the current folder from hiding installed modules.
        python = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]  # noqa: SLF001
        environment = os.environ | {ENV_VAR: json.dumps(asdict(launch))}
        os.execve(python[0], [*python, "-P", "-m", "alsek_worker", *sys.argv[1:]], environment)  # noqa: S606
    run(launch)


def run(launch: Launch) -> None:
    """Run a pool in this very process; see `start`."""
    from alsek.core.discovery import collect_tasks
    from alsek.exceptions import AlsekError
    from alsek.logging import setup_logging
    from alsek_worker import pool as pools
    from alsek_worker.settings import Settings
    from alsek_worker.supervisor import PoolBrokenError
    from alsek_worker.workload import of_tasks

    classes: dict[str, type[pools.WorkerPool]] = {
        "thread-pool": pools.ThreadWorkerPool,
        "process-pool": pools.ProcessWorkerPool,
        "async-pool": pools.AsyncWorkerPool,
        "worker": pools.MixedWorkerPool,
    }
    setup_logging(launch.settings["log_level"], launch.settings["log_format"], root=True)
    try:
        tasks = list(collect_tasks(launch.package))
        settings = Settings(**{"lease_ms": of_tasks(tasks).broker.lease_ms} | launch.settings)
        pool = classes[launch.command](
            tasks,
            queues=launch.queues,
            task_specific_mode=launch.task_specific,
            package_name=launch.package,
            settings=settings,
            **launch.pool,
        )
    except AlsekError as error:
        _leave(REFUSED, error)
    try:
        pool.run()
    except PoolBrokenError as error:
        _leave(FAILED, error)
    except (AlsekError, ImportError) as error:
        _leave(REFUSED, error)


def _leave(code: int, error: Exception) -> NoReturn:
    if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error)
    sys.stderr.write(f"alsek: {' '.join(str(error).split())}\n")
    raise SystemExit(code) from error
