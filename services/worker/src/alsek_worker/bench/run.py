"""One run of `alsek bench` from the first look to the last deleted key."""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from alsek.core.preflight import check_engine
from alsek.exceptions import AlsekError, ValidationError
from alsek_worker.bench.crew import Crew
from alsek_worker.bench.measuring import Bench, Step
from alsek_worker.bench.plan import Mechanism, Plan, Tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alsek.core.broker import Broker

#: What a waiting message takes in Redis beside its payload, bytes, generously.
_OVERHEAD: Final = 1_200

#: Of all messages, so many are submitted one by one, but not more than this.
_SINGLE_SHARE: Final = 10
_MOST_SINGLE: Final = 2_000

_PINGS: Final = 50


class LeftBehindError(AlsekError):
    """The namespace could not be deleted."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be measured; see the options of the command."""

    messages: int
    payload: int
    samples: int
    mechanism: Mechanism
    n_processes: int
    concurrency: int | None
    url: str | None
    partitions: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured, and where.

    Attributes:
        engine: Kind and version of Redis.
        ping_ms: Median of a round trip to it.
        version: Of Alsek.
        python: Version.
        cpus: That this process may use.
        steps: In the order in which they were done.
        deleted_keys: What was left in the namespace, and is gone.
    """

    engine: str
    ping_ms: float
    version: str
    python: str
    cpus: int
    steps: tuple[Step, ...]
    deleted_keys: int

    @property
    def exact(self) -> bool:
        """Whether every message of every step was handled once."""
        return all(step.exact for step in self.steps)

    def plain(self) -> dict[str, Any]:
        """Give it for JSON."""
        steps = [asdict(step) | {"exact": step.exact} for step in self.steps]
        return asdict(self) | {"steps": steps, "exact": self.exact}


def measure(wish: Wish, tell: Callable[[str], None], *, as_json: bool) -> Outcome:
    """Measure, and leave nothing behind.

    Args:
        wish: What.
        tell: Takes a line for people, as things go on.
        as_json: Nobody watches.

    Raises:
        ValidationError: So many messages do not fit into this Redis.
        BackendError: Redis does not answer, refuses us, or would lose messages.
        StuckError: The worker did not do its work.
        LeftBehindError: Redis did not answer when the namespace was to be deleted.
    """
    namespace = f"alsek-bench-{os.urandom(4).hex()}"
    with tempfile.TemporaryDirectory(prefix="alsek-bench-") as folder, _sigterm_is_ctrl_c():
        tally = Path(folder) / "tally"
        plan = Plan(wish.url, namespace, wish.partitions, wish.mechanism, str(tally))
        tasks = Tasks(plan)
        check_engine(tasks.broker)
        facts = tasks.broker.redis.server_info()
        _check_room(wish, facts)
        ping_ms = _ping_ms(tasks.broker)
        tell(f"Measuring in namespace {namespace}, which is deleted afterwards.")
        try:
            steps = _steps(wish, plan, tasks, bars=not as_json and sys.stderr.isatty())
        finally:
            deleted = _clear(tasks.broker)
            tasks.tally.close()
    kind, number = ("Valkey", "valkey_version") if "valkey_version" in facts else ("Redis", "redis_version")
    engine = f"{kind} {facts.get(number, '?')}"
    cpus = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return Outcome(engine, ping_ms, version("alsek-worker"), platform.python_version(), cpus, tuple(steps), deleted)


def _steps(wish: Wish, plan: Plan, tasks: Tasks, *, bars: bool) -> list[Step]:
    bench = Bench(tasks, "x" * wish.payload, bars=bars)
    single = min(_MOST_SINGLE, wish.messages // _SINGLE_SHARE)
    try:
        steps = [bench.submit_singly(single), bench.submit_in_bulk(wish.messages - single)]
        with Crew(wish.mechanism, wish.n_processes, wish.concurrency, plan.environment(os.environ)) as crew:
            steps.append(bench.drain(crew))
            steps.append(bench.latency(crew, wish.samples))
            steps.append(bench.round_trip(crew, wish.samples))
    finally:
        bench.close()
    return steps


def _check_room(wish: Wish, facts: dict[str, str]) -> None:
    most, used = int(facts.get("maxmemory", 0)), int(facts.get("used_memory", 0))
    needed = wish.messages * (_OVERHEAD + wish.payload)
    if most and used + needed > most:
        raise ValidationError(
            f"{wish.messages:,} messages may take {needed / 2**20:,.0f} MiB, and this Redis has "
            f"{max(0, most - used) / 2**20:,.0f} left below its maxmemory: choose fewer --messages"
        )


def _ping_ms(broker: Broker) -> float:
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        broker.redis.links.command("PING")
        times.append((time.perf_counter() - began) * 1000)
    return median(times)


def _clear(broker: Broker) -> int:
    # The worker has ended, so nothing comes after.
    deleted = 0
    try:
        while found := broker.redis.clear_namespace(raise_on_error=False):
            deleted += found
    except AlsekError as error:
        namespace = broker.redis.namespace
        raise LeftBehindError(
            f"{error}; what was measured stays in namespace {namespace}: delete all keys that contain that name"
        ) from error
    finally:
        broker.redis.close()
    return deleted


@contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
