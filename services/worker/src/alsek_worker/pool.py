"""The pools as upstream's programs know them: made from tasks, run until a signal.

The command line makes the same objects; `Supervisor` does the work.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from alsek.core.preflight import check_engine
from alsek.exceptions import NoTasksFoundError, ValidationError
from alsek.utils.system import smart_cpu_count
from alsek_worker import workload as workloads
from alsek_worker.settings import DEFAULT_CONCURRENCY, DEFAULT_THREADS, Crew, Settings
from alsek_worker.stopping import StopSignal
from alsek_worker.supervisor import Supervisor
from alsek_worker.workload import Source, Workload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.backoff import Backoff
    from alsek.core.task import Task
    from alsek.types import SupportedMechanismType

# The names under which the seed's program logs these sentences.
_tasks_log = logging.getLogger("alsek.core.worker._helpers")
_pool_log = logging.getLogger("alsek.core.worker._base")


class WorkerPool:
    """What all pools share; use one of the classes below.

    Args:
        tasks: What to run; tasks of another mechanism are left out.
        queues: Watched in this order of preference; the queues of the tasks by default.
        task_specific_mode: Take only messages of these tasks from their queues.
        slot_wait_interval: Accepted for upstream's programs; nothing waits in intervals here.
        backoff: Accepted for upstream's programs; idle children sleep in Redis until something comes.
        package_name: What child processes import to find the tasks; the tasks' own modules by default.
        settings: Everything else that can be chosen.

    Raises:
        NoTasksFoundError: No tasks, or none of this mechanism.
        MultipleBrokersError: They do not share a broker.
        TaskNameCollisionError: Two have one name.
        ValueError: A queue is named twice, or a number makes no sense.

    Attributes:
        stop_signal: `stop_signal.exit_event.set()` ends `run()` from any thread.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        queues: Sequence[str] | None = None,
        task_specific_mode: bool = False,
        slot_wait_interval: int = 50,
        backoff: Backoff | None = None,
        package_name: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        if not isinstance(tasks, list | tuple):
            raise ValidationError(f"tasks must be a list or a tuple, not {type(tasks).__name__}")
        self.slot_wait_interval = slot_wait_interval
        self.backoff = backoff
        self.stop_signal = StopSignal()
        self.package_name = package_name
        self._workload = workloads.of_tasks(tasks)
        self._queues = None if queues is None else tuple(queues)
        self._task_specific = task_specific_mode
        chosen = settings or Settings(lease_ms=self._workload.broker.lease_ms)
        self.settings = replace(chosen, worker_id=os.urandom(8).hex())
        self.crews = self._crews()

    @property
    def tasks(self) -> list[Task]:
        """The tasks this pool runs."""
        names = {name for crew in self.crews for name in crew.tasks}
        return [task for name, task in self._workload.tasks.items() if name in names]

    @property
    def queues(self) -> list[str]:
        """The queues this pool watches."""
        return list(dict.fromkeys(queue for crew in self.crews for queue in crew.subset))

    def run(self) -> None:
        """Work until SIGTERM, SIGINT or `stop_signal.exit_event`; a second signal hurries.

        Raises:
            AddressUnavailableError: The port of the metrics is in use.
            BackendError: Redis does not answer, refuses us, or would lose messages.
            PoolBrokenError: The child processes cannot start.
        """
        supervisor = Supervisor(
            self.crews, self._source(), self._workload, self.settings, self.stop_signal,
            online=self._went_online, draining=self._shuts_down,
        )  # fmt: skip
        with self._observed(supervisor):
            check_engine(self._workload.broker)
            self._introduce()
            self._workload.broker.lease_ms = self.settings.lease_ms
            try:
                supervisor.run()
            finally:
                self.on_shutdown()

    def on_boot(self) -> None:
        """Override to do something when the pool is online."""

    def on_shutdown(self) -> None:
        """Override to do something when all work has ended."""

    def prune(self) -> None:
        """Do nothing: a dead child is noticed and replaced at once. Kept for upstream's programs."""

    def _introduce(self) -> None:
        _tasks_log.info("Monitoring %s tasks", f"{len(self.tasks):,}")
        self._announce()
        _pool_log.info("Monitoring %s queue(s).", f"{len(self.queues):,}")
        named = {task.queue for task in self._workload.tasks.values()}
        if unnamed := [queue for queue in self.queues if queue not in named]:
            _pool_log.warning("No task here names the queue %s: is that what you meant?", ", ".join(unnamed))

    def _observed(self, supervisor: Supervisor) -> AbstractContextManager[None]:
        if self.settings.metrics_port is None:
            return nullcontext()
        # Whoever serves no metrics loads nothing for them.
        from alsek_worker.health import observed

        return observed(supervisor, self.settings.metrics_port, self.settings.stall_ms)

    def _crews(self) -> list[Crew]:
        raise NotImplementedError

    def _announce(self) -> None:
        raise NotImplementedError

    def _crew(self, kind: SupportedMechanismType, floor: int, ceiling: int, concurrency: int) -> Crew:
        mine: Workload = self._workload.of(kind)
        wanted = workloads.subset(self._workload.tasks, mine.tasks, self._queues, self._task_specific)
        return Crew(kind, floor, ceiling, concurrency, tuple(mine.tasks), wanted)

    def _source(self) -> Source:
        names = {name for crew in self.crews for name in crew.tasks}
        if self.package_name is not None:
            return Source((self.package_name,))
        return workloads.source_of({name: self._workload.tasks[name] for name in sorted(names)})

    def _went_online(self) -> None:
        _pool_log.info("Worker pool online.")
        self.on_boot()

    def _shuts_down(self) -> None:
        _pool_log.info("Worker pool shutting down...")


class ThreadWorkerPool(WorkerPool):
    """Groups of threads, each group a process; more groups under load.

    Args:
        tasks: See `WorkerPool`.
        n_threads: Threads of one group.
        n_processes: Groups under load; CPUs - 1 by default.
        n_process_floor: Groups at all times.
        complete_only_on_thread_exit: A slot is in use until its thread has really ended.
        **common: See `WorkerPool`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        n_threads: int = DEFAULT_THREADS,
        n_processes: int | None = None,
        n_process_floor: int = 1,
        complete_only_on_thread_exit: bool = False,
        **common: Any,
    ) -> None:
        self.n_threads = n_threads
        self.n_processes = smart_cpu_count() if n_processes is None else n_processes
        self.n_process_floor = n_process_floor
        self.complete_only_on_thread_exit = complete_only_on_thread_exit
        super().__init__(tasks, **common)
        self.settings = replace(self.settings, complete_only_on_thread_exit=complete_only_on_thread_exit)

    def _crews(self) -> list[Crew]:
        return [self._crew("thread", self.n_process_floor, self.n_processes, self.n_threads)]

    def _announce(self) -> None:
        announce_threads(self.n_threads, self.n_processes)


class ProcessWorkerPool(WorkerPool):
    """Child processes that run one message at a time each, and can be killed for it.

    Args:
        tasks: See `WorkerPool`.
        n_processes: Child processes; CPUs - 1 by default.
        prune_interval: Accepted for upstream's programs; a dead child is noticed at once.
        **common: See `WorkerPool`.
    """

    def __init__(
        self, tasks: Sequence[Task], *, n_processes: int | None = None, prune_interval: int = 100, **common: Any
    ) -> None:
        self.n_processes = smart_cpu_count() if n_processes is None else n_processes
        self.prune_interval = prune_interval
        super().__init__(tasks, **common)

    def _crews(self) -> list[Crew]:
        return [self._crew("process", self.n_processes, self.n_processes, 1)]

    def _announce(self) -> None:
        announce_processes(self.n_processes)


class AsyncWorkerPool(WorkerPool):
    """Event loops, each in a process, that run many coroutines at a time.

    Args:
        tasks: See `WorkerPool`.
        concurrency: Coroutines at a time in one process.
        n_processes: Processes; one by default, for a loop rarely fills a CPU with waiting.
        **common: See `WorkerPool`.
    """

    def __init__(
        self, tasks: Sequence[Task], *, concurrency: int = DEFAULT_CONCURRENCY, n_processes: int = 1, **common: Any
    ) -> None:
        self.concurrency = concurrency
        self.n_processes = n_processes
        super().__init__(tasks, **common)

    def _crews(self) -> list[Crew]:
        return [self._crew("async", self.n_processes, self.n_processes, self.concurrency)]

    def _announce(self) -> None:
        announce_loops(self.concurrency, self.n_processes)


class MixedWorkerPool(WorkerPool):
    """All mechanisms that the tasks use, under one supervisor.

    Args:
        tasks: See `WorkerPool`.
        n_threads: Threads of one group.
        n_processes: Groups under load, and child processes of the process pool; CPUs - 1 by default.
        concurrency: Coroutines at a time.
        **common: See `WorkerPool`.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        n_threads: int = DEFAULT_THREADS,
        n_processes: int | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        **common: Any,
    ) -> None:
        self.n_threads = n_threads
        self.n_processes = smart_cpu_count() if n_processes is None else n_processes
        self.concurrency = concurrency
        super().__init__(tasks, **common)

    def _crews(self) -> list[Crew]:
        make = {
            "thread": lambda: self._crew("thread", 1, self.n_processes, self.n_threads),
            "process": lambda: self._crew("process", self.n_processes, self.n_processes, 1),
            "async": lambda: self._crew("async", 1, 1, self.concurrency),
        }
        crews: list[Crew] = []
        for kind in self._workload.kinds:
            try:
                crews.append(make[kind]())
            except NoTasksFoundError:  # the chosen queues are those of the others
                continue
        if not crews:
            raise NoTasksFoundError(f"None of the tasks belongs to {', '.join(self._queues or ()) or 'any queue'}")
        return crews

    def _announce(self) -> None:
        announce = {
            "thread": lambda: announce_threads(self.n_threads, self.n_processes),
            "process": lambda: announce_processes(self.n_processes),
            "async": lambda: announce_loops(self.concurrency, 1),
        }
        for crew in self.crews:
            announce[crew.kind]()


def announce_threads(threads: int, processes: int) -> None:
    """Log the seed's sentence."""
    logging.getLogger("alsek.core.worker.thread").info(
        "Starting thread-based worker pool with up to %s workers (%s max threads and %s max processes)...",
        f"{threads * processes:,}", f"{threads:,}", f"{processes:,}",
    )  # fmt: skip


def announce_processes(processes: int) -> None:
    """Log upstream's sentence."""
    logging.getLogger("alsek.core.worker.process").info(
        "Starting process-based worker pool with up to %s workers (%s max processes)...",
        f"{processes:,}", f"{processes:,}",
    )  # fmt: skip


def announce_loops(concurrency: int, processes: int) -> None:
    """Log the like for coroutines."""
    logging.getLogger("alsek.core.worker.asyncio").info(
        "Starting async worker pool with up to %s workers (%s max coroutines and %s max processes)...",
        f"{concurrency * processes:,}", f"{concurrency:,}", f"{processes:,}",
    )  # fmt: skip
