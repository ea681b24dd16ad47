"""The steps of `alsek bench`, each counted exactly."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from alsek.core.progress_bar import bar_for
from alsek.exceptions import AlsekError
from alsek.tools.inspector import Inspector
from alsek_worker.bench.plan import QUEUE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek_worker.bench.crew import Crew
    from alsek_worker.bench.plan import Tasks

#: Messages of one call when many are submitted.
BULK: Final = 1_000

#: Between two messages of a measurement of latency, s: long enough for a worker to fall idle.
_GAP_S: Final = 0.01

#: Between two looks at the tally, s. Starts are timed by who starts, so this is in no figure.
_LOOK_S: Final = 0.002

#: A worker that starts nothing for so long is stuck, s.
STALL_S: Final = 60.0


class StuckError(AlsekError):
    """The worker starts nothing any more."""


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement.

    Attributes:
        name: What was measured: `submit_single`, `submit_bulk`, `drain`, `latency` (from submit to start of an idle
            worker) or `round_trip` (from submit to having the result).
        messages: How many were to be handled.
        seconds: How long all took.
        per_second: How many were handled in a second.
        lost: Never handled.
        repeated: Handled more than once, each time after the first.
        p50_ms: Half of them took no longer; `None`: the step tells rates only.
        p95_ms: 95 of 100 took no longer.
        p99_ms: 99 of 100 took no longer.
        max_ms: What the slowest took.
    """

    name: str
    messages: int
    seconds: float
    per_second: float
    lost: int = 0
    repeated: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None

    @property
    def exact(self) -> bool:
        """Whether each message was handled once."""
        return not (self.lost or self.repeated)


class Bench:
    """Measures step by step; each step goes on with what the one before left.

    Args:
        tasks: Of the run.
        padding: Sent with each message of the rates.
        bars: Whether somebody watches.
    """

    def __init__(self, tasks: Tasks, padding: str, *, bars: bool) -> None:
        self._tasks = tasks
        self._padding = padding
        self._bars = bars
        self._inspector = Inspector(tasks.broker)
        self._submitted = 0
        self._starts: list[tuple[int, int]] = []

    def submit_singly(self, count: int) -> Step:
        """Submit one message after the other."""
        return self._submit("submit_single", count, 1)

    def submit_in_bulk(self, count: int) -> Step:
        """Submit many messages in a call."""
        return self._submit("submit_bulk", count, BULK)

    def drain(self, crew: Crew) -> Step:
        """Have a worker run all that waits; timed from the first start to the last.

        Raises:
            StuckError: It does not.
        """
        count = self._submitted
        self._watch(crew, "drain", set(range(count)))
        self._settled(crew, count)
        runs = Counter(number for number, _ in self._starts)
        times = [at for _, at in self._starts]
        seconds = (max(times) - min(times)) / 1e9
        # What Redis counted has to agree with what the tasks counted.
        short = count - sum(minute.succeeded for minute in self._inspector.throughput(QUEUE, 360))
        lost, repeated = max(count - len(runs), short), max(len(self._starts) - len(runs), -short)
        return Step("drain", count, seconds, (len(times) - 1) / max(seconds, 1e-9), lost, repeated)

    def latency(self, crew: Crew, count: int) -> Step:
        """Time from submit to start, with an idle worker.

        Raises:
            StuckError: The worker does not start a message.
        """
        first = self._submitted
        self._submitted += count
        asked: dict[int, int] = {}
        began = time.monotonic()

        def ask(number: int) -> None:
            asked[number] = time.monotonic_ns()
            self._tasks.mark.generate(args=(number,))
            self._watch(crew, "", {number})
            time.sleep(_GAP_S)

        self._each("latency", range(first, first + count), ask)
        seconds = time.monotonic() - began
        runs = Counter(number for number, _ in self._starts)
        waits = [(at - asked[number]) / 1e6 for number, at in dict(reversed(self._starts)).items() if number in asked]
        again = sum(runs[number] - 1 for number in asked)
        return _timed("latency", waits, seconds, count, again)

    def round_trip(self, crew: Crew, count: int) -> Step:
        """Time from submit to having the result, one after the other.

        Raises:
            StuckError: A result does not come.
        """
        waits: list[float] = []
        wrong = 0
        began = time.monotonic()

        def ask(number: int) -> None:
            nonlocal wrong
            before = time.monotonic_ns()
            message = self._tasks.echo.generate(args=(number,))
            try:
                answer = self._tasks.results.get(message, timeout=int(STALL_S * 1000))
            except TimeoutError as error:
                raise StuckError(_stuck(crew, 1)) from error
            waits.append((time.monotonic_ns() - before) / 1e6)
            wrong += answer != number

        self._each("round_trip", range(count), ask)
        return _timed("round_trip", waits, time.monotonic() - began, count, 0, wrong)

    def close(self) -> None:
        """Drop the connections."""
        self._inspector.close()

    def _submit(self, name: str, count: int, chunk: int) -> Step:
        first = self._submitted
        mark, padding = self._tasks.mark, self._padding
        began = time.monotonic()

        def send(start: int) -> None:
            numbers = range(start, min(start + chunk, first + count))
            if chunk == 1:
                mark.generate(args=(start, padding))
            else:
                mark.generate_many([{"args": (number, padding)} for number in numbers])

        self._each(name, range(first, first + count, chunk), send, chunk)
        seconds = time.monotonic() - began
        self._submitted += count
        waiting = self._inspector.queue(QUEUE).ready
        lost, repeated = max(0, self._submitted - waiting), max(0, waiting - self._submitted)
        return Step(name, count, seconds, count / max(seconds, 1e-9), lost, repeated)

    def _each(self, name: str, numbers: range, act: Callable[[int], None], steps: int = 1) -> None:
        bar = bar_for(name, [range(len(numbers) * steps)], wanted=self._bars)
        with bar or nullcontext():
            for number in numbers:
                act(number)
                if bar is not None:
                    bar.advance(steps)

    def _watch(self, crew: Crew, name: str, missing: set[int]) -> None:
        bar = bar_for(name, [missing], wanted=self._bars and bool(name))
        moved = time.monotonic()
        with bar or nullcontext():
            while missing:
                if new := self._tasks.tally.new():
                    moved = time.monotonic()
                    self._starts += new
                    before = len(missing)
                    missing.difference_update(number for number, _ in new)
                    if bar is not None:
                        bar.advance(before - len(missing))
                elif crew.ended or time.monotonic() - moved > STALL_S:
                    raise StuckError(_stuck(crew, len(missing)))
                else:
                    time.sleep(_LOOK_S)

    def _settled(self, crew: Crew, count: int) -> None:
        # Acknowledgements come a few milliseconds after the last start; whatever runs twice would show here.
        deadline = time.monotonic() + STALL_S
        while True:
            queue = self._inspector.queue(QUEUE)
            if not (queue.ready or queue.running or queue.delayed):
                break
            if crew.ended or time.monotonic() > deadline:
                raise StuckError(_stuck(crew, count))
            time.sleep(_GAP_S)
        self._starts += self._tasks.tally.new()


def _stuck(crew: Crew, missing: int) -> str:
    what = "the worker ended by itself" if crew.ended else f"the worker has started nothing for {STALL_S:.0f} s"
    words = f"; it said: {crew.last_words}" if crew.last_words else ""
    return f"{what}, and {missing:,} messages are missing{words}"


def _timed(name: str, waits: Sequence[float], seconds: float, count: int, repeated: int, wrong: int = 0) -> Step:
    ordered = sorted(waits)

    def share(of: float) -> float:
        return ordered[min(len(ordered) - 1, int(of * len(ordered)))]

    facts: dict[str, Any] = {"p50_ms": share(0.5), "p95_ms": share(0.95), "p99_ms": share(0.99), "max_ms": ordered[-1]}
    return Step(name, count, seconds, count / max(seconds, 1e-9), count - len(waits) + wrong, repeated, **facts)
