"""The commands that this service adds to `alsek`.

This module is imported whenever `alsek --help` is shown, so it imports nothing heavy: the
core and the pools come when a command runs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

Package = Annotated[
    str, typer.Argument(metavar="PACKAGE", help="Module or package with the tasks, such as my_app.tasks.")
]
Queues = Annotated[
    str | None,
    typer.Option("--queues", "-qu", metavar="A,B", help="Queues in order of preference, by commas. All by default."),
]
TaskSpecific = Annotated[
    bool,
    typer.Option("--task-specific-mode", "--task_specific_mode", help="Take only messages of the tasks of PACKAGE."),
]
Fair = Annotated[bool, typer.Option("--fair", help="Give every queue its turn, so that none of them starves.")]
Threads = Annotated[int, typer.Option("--n-threads", "--n_threads", min=1, help="Threads of one process group.")]
Processes = Annotated[
    int | None,
    typer.Option(
        "--n-processes", "--n_processes", min=1, help="Processes at most. CPUs - 1 by default.", show_default=False
    ),
]
Loops = Annotated[int, typer.Option("--n-processes", "--n_processes", min=1, help="Processes, each with a loop.")]
Floor = Annotated[
    int, typer.Option("--n-process-floor", "--n_process_floor", min=1, help="Process groups at all times.")
]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="Coroutines at a time in one process.")]
Uvloop = Annotated[
    bool | None,
    typer.Option("--uvloop/--no-uvloop", help="Run on uvloop. If it is installed by default.", show_default=False),
]
DrainTimeout = Annotated[
    float,
    typer.Option("--drain-timeout", min=0, metavar="SECONDS", help="What running work gets to finish after SIGTERM."),
]
Lease = Annotated[
    float | None,
    typer.Option(
        "--lease", min=1, metavar="SECONDS", show_default=False,
        help="A killed worker's messages start again after this. 30 by default.",
    ),
]  # fmt: skip
MaxTasks = Annotated[
    int | None,
    typer.Option("--max-tasks-per-child", min=1, help="Replace a process that ran this many.", show_default=False),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        "--max-memory-per-child", min=1, metavar="MB", show_default=False,
        help="Replace a process that grew beyond this.",
    ),
]  # fmt: skip
MetricsPort = Annotated[
    str | None,
    typer.Option(
        "--metrics-port", metavar="[HOST:]PORT", show_default=False,
        help="Serve /metrics of the whole pool, /livez, /readyz and /startupz there. 0 for any free port.",
    ),
]  # fmt: skip
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "NOTSET"],
    typer.Option("--log-level", "--log_level", case_sensitive=False, help="Least level that is shown; any case."),
]
Format = Annotated[
    Literal["console", "json"],
    typer.Option("--log-format", "--log_format", help="Lines for people, or JSON for machines."),
]
ThreadExit = Annotated[
    bool,
    typer.Option(
        "--complete-only-on-thread-exit", "--complete_only_on_thread_exit",
        help="A slot is in use until its thread has really ended.",
    ),
]  # fmt: skip

#: Upstream's knobs for polling. Accepted, so that old command lines work; nothing polls any more.
Prune = Annotated[int | None, typer.Option("--prune-interval", "--prune_interval", hidden=True)]
SlotWait = Annotated[int | None, typer.Option("--slot-wait-interval", "--slot_wait_interval", hidden=True)]
BackoffFactor = Annotated[
    int | None,
    typer.Option("--consumer-backoff-factor", "--consumer_backoff_factor", hidden=True),
]
BackoffFloor = Annotated[
    int | None,
    typer.Option("--consumer-backoff-floor", "--consumer_backoff_floor", hidden=True),
]
BackoffCeiling = Annotated[
    int | None,
    typer.Option("--consumer-backoff-ceiling", "--consumer_backoff_ceiling", hidden=True),
]


def thread_pool(
    package: Package,
    queues: Queues = None,
    task_specific_mode: TaskSpecific = False,
    n_threads: Threads = 8,
    n_processes: Processes = None,
    n_process_floor: Floor = 1,
    complete_only_on_thread_exit: ThreadExit = False,
    fair: Fair = False,
    drain_timeout: DrainTimeout = 30,
    lease: Lease = None,
    max_tasks_per_child: MaxTasks = None,
    max_memory_per_child: MaxMemory = None,
    metrics_port: MetricsPort = None,
    log_level: Level = "INFO",
    log_format: Format = "console",
    slot_wait_interval: SlotWait = None,
    consumer_backoff_factor: BackoffFactor = None,
    consumer_backoff_floor: BackoffFloor = None,
    consumer_backoff_ceiling: BackoffCeiling = None,
) -> None:
    """Run the tasks of PACKAGE in threads: groups of threads, each group a process.

    \b
    Examples:
      alsek thread-pool my_tasks
      alsek thread-pool my_app.tasks --queues urgent,mail --n-threads 16
      alsek thread-pool my_tasks --n-processes 4 --n-process-floor 2 --drain-timeout 60
    """  # noqa: D301  (the backspace keeps the lines apart)
    _unused(slot_wait_interval, consumer_backoff_factor, consumer_backoff_floor, consumer_backoff_ceiling)
    pool = {
        "n_threads": n_threads,
        "n_processes": n_processes,
        "n_process_floor": n_process_floor,
        "complete_only_on_thread_exit": complete_only_on_thread_exit,
    }
    settings = _settings(
        fair, drain_timeout, lease, max_tasks_per_child, max_memory_per_child, metrics_port, log_level, log_format
    )
    _start("thread-pool", package, _names(queues), task_specific_mode, pool, settings)


def process_pool(
    package: Package,
    queues: Queues = None,
    task_specific_mode: TaskSpecific = False,
    n_processes: Processes = None,
    fair: Fair = False,
    drain_timeout: DrainTimeout = 30,
    lease: Lease = None,
    max_tasks_per_child: MaxTasks = None,
    max_memory_per_child: MaxMemory = None,
    metrics_port: MetricsPort = None,
    log_level: Level = "INFO",
    log_format: Format = "console",
    prune_interval: Prune = None,
    slot_wait_interval: SlotWait = None,
    consumer_backoff_factor: BackoffFactor = None,
    consumer_backoff_floor: BackoffFloor = None,
    consumer_backoff_ceiling: BackoffCeiling = None,
) -> None:
    """Run the tasks of PACKAGE in processes: one message at a time each, ended for certain when its time is up.

    \b
    Examples:
      alsek process-pool my_tasks
      alsek process-pool my_app.tasks --n-processes 4 --max-tasks-per-child 1000
      alsek process-pool my_app.tasks --max-memory-per-child 512
    """  # noqa: D301  (the backspace keeps the lines apart)
    _unused(
        prune_interval, slot_wait_interval, consumer_backoff_factor, consumer_backoff_floor, consumer_backoff_ceiling
    )
    settings = _settings(
        fair, drain_timeout, lease, max_tasks_per_child, max_memory_per_child, metrics_port, log_level, log_format
    )
    pool = {"n_processes": n_processes}
    _start("process-pool", package, _names(queues), task_specific_mode, pool, settings)


def async_pool(
    package: Package,
    queues: Queues = None,
    task_specific_mode: TaskSpecific = False,
    concurrency: Concurrency = 100,
    n_processes: Loops = 1,
    uvloop: Uvloop = None,
    fair: Fair = False,
    drain_timeout: DrainTimeout = 30,
    lease: Lease = None,
    max_tasks_per_child: MaxTasks = None,
    max_memory_per_child: MaxMemory = None,
    metrics_port: MetricsPort = None,
    log_level: Level = "INFO",
    log_format: Format = "console",
) -> None:
    """Run the `async def` tasks of PACKAGE: many at a time on an event loop.

    \b
    Examples:
      alsek async-pool my_tasks
      alsek async-pool my_app.tasks --concurrency 500 --n-processes 2
    """  # noqa: D301  (the backspace keeps the lines apart)
    settings = _settings(
        fair, drain_timeout, lease, max_tasks_per_child, max_memory_per_child, metrics_port, log_level, log_format
    )
    pool = {"concurrency": concurrency, "n_processes": n_processes}
    _start("async-pool", package, _names(queues), task_specific_mode, pool, settings | {"uvloop": uvloop})


def worker(
    package: Package,
    queues: Queues = None,
    task_specific_mode: TaskSpecific = False,
    n_threads: Threads = 8,
    n_processes: Processes = None,
    concurrency: Concurrency = 100,
    uvloop: Uvloop = None,
    fair: Fair = False,
    drain_timeout: DrainTimeout = 30,
    lease: Lease = None,
    max_tasks_per_child: MaxTasks = None,
    max_memory_per_child: MaxMemory = None,
    metrics_port: MetricsPort = None,
    log_level: Level = "INFO",
    log_format: Format = "console",
) -> None:
    """Run all tasks of PACKAGE, each by its own mechanism: threads, processes and coroutines under one supervisor.

    \b
    Examples:
      alsek worker my_app.tasks
      alsek worker my_app.tasks --queues urgent,mail,reports --fair
      alsek worker my_app.tasks --log-format json --drain-timeout 120 --metrics-port 9100
    """  # noqa: D301  (the backspace keeps the lines apart)
    settings = _settings(
        fair, drain_timeout, lease, max_tasks_per_child, max_memory_per_child, metrics_port, log_level, log_format
    )
    pool = {"n_threads": n_threads, "n_processes": n_processes, "concurrency": concurrency}
    _start("worker", package, _names(queues), task_specific_mode, pool, settings | {"uvloop": uvloop})


def _start(
    command: str,
    package: str,
    queues: list[str] | None,
    task_specific: bool,
    pool: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    from alsek_worker.launch import Launch, start

    start(Launch(command, package, queues, task_specific, pool, settings))


def _names(queues: str | None) -> list[str] | None:
    return None if queues is None else [name for part in queues.split(",") if (name := part.strip())]


def _settings(
    fair: bool,
    drain_timeout: float,
    lease: float | None,
    max_tasks: int | None,
    max_memory_mb: int | None,
    metrics_port: str | None,
    log_level: str,
    log_format: str,
) -> dict[str, Any]:
    return {
        "fair": fair,
        "drain_timeout_ms": int(drain_timeout * 1000),
        "max_tasks_per_child": max_tasks,
        "max_memory_per_child": None if max_memory_mb is None else max_memory_mb * 1024 * 1024,
        "metrics_port": metrics_port,
        "log_level": log_level.upper(),
        "log_format": log_format,
    } | ({} if lease is None else {"lease_ms": int(lease * 1000)})


def _unused(*_: object) -> None:
    """Upstream's waiting times have nothing to wait for here."""
