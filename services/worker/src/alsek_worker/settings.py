"""Everything an operator can choose about a pool, with the reason for each default.

One frozen value travels from the command line through the supervisor into every child,
so that nothing about a pool is decided in two places.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from alsek.defaults import DEFAULT_LEASE_MS
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.logging import LogFormat
    from alsek.types import SupportedMechanismType

#: Renewals per lease: two may get lost before a lease does.
BEATS_PER_LEASE = 3

#: What most platforms allow between SIGTERM and SIGKILL; give the container 10 s more than this.
DEFAULT_DRAIN_TIMEOUT_MS = 30_000

#: An interrupted message that its own process did not settle within this long is settled without it.
SETTLE_GRACE_MS = 200

#: Between asking running work to end and SIGKILL.
STOP_GRACE_MS = 1_000

#: Between telling all children to stop and SIGKILL: enough for one round trip to Redis on a busy machine.
SHUTDOWN_GRACE_MS = 2_000

#: How far a thread or a coroutine may run past its deadline before the supervisor concludes that its
#: process cannot end it (the GIL is held, the loop is blocked) and ends the process.
BACKSTOP_GRACE_MS = 5_000

#: Messages taken ahead of need, as time: what the child will start within this many milliseconds.
DEFAULT_PREFETCH_WINDOW_MS = 50

#: Coroutines at a time in one async child.
DEFAULT_CONCURRENCY = 100

#: Threads of one group, as upstream.
DEFAULT_THREADS = 8

#: An extra thread group that had nothing to do for this long is ended.
IDLE_GROUP_MS = 60_000

#: A child that dies before it is ready is started again, but not for ever.
MOST_BOOT_FAILURES = 5
FIRST_BOOT_PAUSE_MS = 200
LONGEST_BOOT_PAUSE_MS = 5_000

#: A child ticks every 5 s, and every 20 s while Redis swallows what it says (to connect, to answer, twice).
DEFAULT_STALL_MS = 30_000

#: Leases that fit into a child's ledger.
LEDGER_SLOTS: dict[SupportedMechanismType, int] = {"thread": 2048, "async": 2048, "process": 2048}


@dataclass(frozen=True, slots=True)
class Crew:
    """How many children of one kind a pool has.

    Attributes:
        kind: What runs inside a child.
        floor: Children at all times.
        ceiling: Children under load.
        concurrency: Messages at a time in one child.
        tasks: Names of the tasks it runs.
        subset: Queues in order of preference, each with the task names wanted from it; none for all.
        pool: `module:Class` that runs inside the child; the kind's own when empty.
    """

    kind: SupportedMechanismType
    floor: int
    ceiling: int
    concurrency: int
    tasks: tuple[str, ...] = ()
    subset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pool: str = ""

    def __post_init__(self) -> None:
        if min(self.floor, self.ceiling, self.concurrency) < 1:
            raise ValidationError("a pool needs at least one process and one slot in it")
        if self.floor > self.ceiling:
            raise ValidationError(f"the floor of processes ({self.floor}) is above their number ({self.ceiling})")


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices for one pool, and the few facts that differ from child to child.

    Attributes:
        fair: Give every listed queue its turn instead of draining the preferred ones first.
        lease_ms: Length of a claim without renewal.
        drain_timeout_ms: What running work gets to finish after a stop was asked for.
        prefetch_window_ms: How far ahead of need messages are claimed.
        look_around_ms: An idle child looks for due work at least this often, even if nothing wakes it.
        unknown_task_delay_ms: A message whose task is not known here is kept back this long for a newer worker.
        max_tasks_per_child: A child that ran this many is replaced.
        max_memory_per_child: A child whose resident memory passes this many bytes is replaced.
        complete_only_on_thread_exit: A thread slot counts as used until its thread ended.
        uvloop: `True` or `False` for async children; `None`: when it is installed.
        metrics_port: PORT or HOST:PORT of probes and metrics; `None`: none.
        stall_ms: A child that shows no sign of life for so long fails `/livez`.
        log_level: Level of this process and its children.
        log_format: `console` in the seed's format, or `json`, a line per event.
        kind: What this child is.
        worker_id: Random id of this boot of the worker; revocations reach it by that.
        child: Number of the child; never used again by this worker.
        subset: What the child claims: queues in order of preference, each with the task names wanted, none for all.
        concurrency: Messages at a time in this child.
    """

    fair: bool = False
    lease_ms: int = DEFAULT_LEASE_MS
    drain_timeout_ms: int = DEFAULT_DRAIN_TIMEOUT_MS
    prefetch_window_ms: int = DEFAULT_PREFETCH_WINDOW_MS
    look_around_ms: int = 30_000
    unknown_task_delay_ms: int = 30_000
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    complete_only_on_thread_exit: bool = False
    uvloop: bool | None = None
    metrics_port: str | None = None
    stall_ms: int = DEFAULT_STALL_MS
    log_level: str = "INFO"
    log_format: LogFormat = "console"
    kind: SupportedMechanismType = "thread"
    worker_id: str = ""
    child: int = 0
    subset: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    concurrency: int = 1

    def __post_init__(self) -> None:
        if self.lease_ms < 1_000:
            raise ValidationError("a lease below 1,000 ms would lapse while its renewal is under way")
        if self.drain_timeout_ms < 0:
            raise ValidationError("the drain timeout cannot be negative")
        for limit in (self.max_tasks_per_child, self.max_memory_per_child):
            if limit is not None and limit < 1:
                raise ValidationError("limits per child are at least 1")

    @property
    def beat_ms(self) -> int:
        """Time between two renewals."""
        return self.lease_ms // BEATS_PER_LEASE

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of this child; its ledger names them by their index here."""
        return tuple(self.subset)

    @property
    def consumer_id(self) -> str:
        """`<worker id>.<child number>`: starts the tokens of all its claims."""
        return f"{self.worker_id}.{self.child}"

    def for_child(self, crew: Crew, child: int) -> Self:
        """The same choices, for one child."""
        return replace(self, kind=crew.kind, concurrency=crew.concurrency, subset=crew.subset, child=child)
