"""What one run of `alsek bench` is about: told to its workers through their environment."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from alsek.core.broker import Broker
from alsek.core.task import task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from alsek_worker.bench.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Carries the plan to the workers.
ENV_VAR: Final = "ALSEK_BENCH_PLAN"

#: Everything that is measured passes through this queue.
QUEUE: Final = "bench"

Mechanism = Literal["thread", "process", "async"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run.

    Attributes:
        url: Which Redis; `None`: as everywhere.
        namespace: Of this run alone.
        partitions: Of the namespace.
        mechanism: How the tasks run.
        tally: File of the tally.
    """

    url: str | None
    namespace: str
    partitions: int
    mechanism: Mechanism
    tally: str

    @classmethod
    def of_environment(cls) -> Self:
        """Read what `environment` gave."""
        return cls(**msgspec.json.decode(os.environ[ENV_VAR]))

    def environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        """Give the environment of the workers: only the address is left of the settings that were meant for others."""
        kept = {
            name: value
            for name, value in outer.items()
            if not name.startswith("ALSEK_") or name.startswith("ALSEK_REDIS_")
        }
        return kept | {ENV_VAR: msgspec.json.encode(asdict(self)).decode(), "PYTHONUNBUFFERED": "1"}

    def broker(self) -> Broker:
        """Make a broker of the namespace."""
        return Broker(RedisBackend(self.url, namespace=self.namespace, partitions=self.partitions))


class Tasks:
    """The tasks of a run: `mark` notes that it started, `echo` gives back what it got.

    Args:
        plan: The run.
    """

    def __init__(self, plan: Plan) -> None:
        self.broker = plan.broker()
        self.results = ResultStore(self.broker.backend)
        self.tally = Tally(Path(plan.tally))
        # Any: one name, whether it is a coroutine or not.
        common: dict[str, Any] = {"queue": QUEUE, "mechanism": plan.mechanism, "max_retries": 0}
        self.mark = task(self.broker, name="mark", **common)(
            self._mark_async if plan.mechanism == "async" else self._mark
        )
        self.echo = task(self.broker, name="echo", result_store=self.results, **common)(
            self._echo_async if plan.mechanism == "async" else self._echo
        )

    def _mark(self, number: int, padding: str = "") -> None:  # noqa: ARG002 - it travels, and that is all
        self.tally.note(number)

    async def _mark_async(self, number: int, padding: str = "") -> None:
        self._mark(number, padding)

    def _echo(self, number: int) -> int:
        return number

    async def _echo_async(self, number: int) -> int:
        return number
