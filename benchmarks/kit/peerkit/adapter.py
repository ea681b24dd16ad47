"""The commands every adapter answers, on top of a few methods that a peer fills in.

`python adapter.py COMMAND [ARGUMENT ...]` prints one line of JSON per answer. The timed
loops stand here, once, so that all Python peers are measured by the same code.
"""

import asyncio
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from time import monotonic_ns, perf_counter
from typing import Any

#: The first calls of a producer open connections and load scripts: not part of a latency.
WARM = 5
#: Numbers from here on are not looked at.
UNUSED = 2_000_000_000
#: Longest wait for one result, in seconds.
PATIENCE_S = 60
#: The same for a result that should be there, and how many may be missing before we stop asking.
RESULT_S = 5
MISSING = 20


Command = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Options:
    """What the harness asks for, read from the environment."""

    redis_url: str
    variant: str
    processes: int
    concurrency: int | None
    results: bool
    safe: bool


@cache
def options() -> Options:
    """Read the options the harness has put into the environment."""
    env = os.environ
    return Options(
        redis_url=env["BENCH_REDIS_URL"],
        variant=env.get("BENCH_VARIANT", ""),
        processes=int(env.get("BENCH_PROCESSES", "1")),
        concurrency=int(env["BENCH_CONCURRENCY"]) if env.get("BENCH_CONCURRENCY") else None,
        results=env.get("BENCH_RESULTS") == "1",
        safe=env.get("BENCH_SAFE") == "1",
    )


class Adapter:
    """A peer. Fill in `worker`, and the sync or the async half of the rest.

    The tasks, by name, are: `mark(number)` records its start; `double(number)` also
    returns twice its argument; `nap(number, seconds)` records, sleeps, records;
    `add(a, b)` is only ever waiting.
    """

    #: Calls handed to a bulk method at once.
    bulk = 1000

    submit: Callable[..., Any] | None = None
    submit_many: Callable[[str, list[tuple[Any, ...]]], Sequence[Any]] | None = None
    fetch: Callable[[Any, float], Any] | None = None

    asubmit: Callable[..., Awaitable[Any]] | None = None
    asubmit_many: Callable[[str, list[tuple[Any, ...]]], Awaitable[Sequence[Any]]] | None = None
    afetch: Callable[[Any, float], Awaitable[Any]] | None = None

    def commands(self) -> Mapping[str, Command]:
        """Give commands of this peer's own, beside those that all have."""
        return {}

    @cached_property
    def tasks(self) -> Any:
        """The peer's tasks module, imported late: a worker that boots must not import it twice."""
        return importlib.import_module("bench_tasks")

    async def open(self) -> None:
        """Connect, inside the event loop."""

    async def close(self) -> None:
        """Disconnect, inside the event loop."""

    def worker(self) -> list[str]:
        """Give the command line of a worker; its first word is a program."""
        raise NotImplementedError


def serve(adapter: Adapter) -> None:
    """Answer the command in `sys.argv`."""
    command, *arguments = sys.argv[1:]
    if command == "worker":
        line = adapter.worker()
        os.execvp(line[0], line)
    answer = _COMMANDS.get(command) or adapter.commands()[command]
    _say(_run(adapter, answer(adapter, *arguments)))


def _run(adapter: Adapter, work: Coroutine[Any, Any, Any]) -> Any:
    if adapter.asubmit is None:
        # Nothing in it waits: a peer without async calls meets no event loop.
        try:
            work.send(None)
        except StopIteration as end:
            return end.value
        raise RuntimeError("a sync adapter waited for an event loop")

    async def inside() -> Any:
        await adapter.open()
        try:
            return await work
        finally:
            await adapter.close()

    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    return run(inside())


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _calls(task: str, n: int, first: int = 0) -> list[tuple[Any, ...]]:
    if task == "add":
        return [(1, 2)] * n
    if task.startswith("nap:"):
        seconds = float(task.partition(":")[2])
        return [(i, seconds) for i in range(first, first + n)]
    return [(i,) for i in range(first, first + n)]


def _name(task: str) -> str:
    return task.partition(":")[0]


async def _single(adapter: Adapter, n: str, task: str = "mark", first: str = "0") -> dict[str, Any]:
    """One call after the other."""
    calls, name = _calls(task, int(n), int(first)), _name(task)
    await _send_one(adapter, name, calls[0])
    gc.collect()
    begin = perf_counter()
    if adapter.submit is not None:
        submit = adapter.submit
        for call in calls[1:]:
            submit(name, *call)
    else:
        assert adapter.asubmit is not None
        asubmit = adapter.asubmit
        for call in calls[1:]:
            await asubmit(name, *call)
    return {"calls": len(calls) - 1, "seconds": perf_counter() - begin}


async def _in_flight(
    adapter: Adapter, n: str, window: str = "50", task: str = "mark", first: str = "0"
) -> dict[str, Any]:
    """A fixed number of calls waiting for their answer at any time."""
    calls, name = _calls(task, int(n), int(first)), _name(task)
    await _send_one(adapter, name, calls[0])
    gc.collect()
    begin = perf_counter()
    await _fan_out(adapter, name, calls[1:], int(window))
    return {"calls": len(calls) - 1, "seconds": perf_counter() - begin}


async def _fan_out(adapter: Adapter, name: str, calls: list[tuple[Any, ...]], window: int) -> list[Any]:
    assert adapter.asubmit is not None
    asubmit, handles, rest = adapter.asubmit, [None] * len(calls), enumerate(calls)

    async def lane() -> None:
        for at, call in rest:
            handles[at] = await asubmit(name, *call)

    await asyncio.gather(*(lane() for _ in range(window)))
    return handles


async def _bulk(adapter: Adapter, n: str, task: str = "mark", first: str = "0") -> dict[str, Any]:
    """The fastest way to bring in many: the bulk call, else a loop."""
    calls, name = _calls(task, int(n), int(first)), _name(task)
    await _send_many(adapter, name, calls[:1])
    gc.collect()
    begin = perf_counter()
    await _send_many(adapter, name, calls[1:])
    return {"calls": len(calls) - 1, "seconds": perf_counter() - begin, "how": _how(adapter)}


def _how(adapter: Adapter) -> str:
    if adapter.submit_many or adapter.asubmit_many:
        return "bulk call"
    return "50 in flight" if adapter.asubmit else "loop"


async def _send_one(adapter: Adapter, name: str, call: tuple[Any, ...]) -> Any:
    if adapter.submit is not None:
        return adapter.submit(name, *call)
    assert adapter.asubmit is not None
    return await adapter.asubmit(name, *call)


async def _send_many(adapter: Adapter, name: str, calls: list[tuple[Any, ...]]) -> list[Any]:
    handles: list[Any] = []
    if adapter.submit_many or adapter.asubmit_many:
        for at in range(0, len(calls), adapter.bulk):
            part = calls[at : at + adapter.bulk]
            if adapter.submit_many is not None:
                handles += adapter.submit_many(name, part)
            else:
                assert adapter.asubmit_many is not None
                handles += await adapter.asubmit_many(name, part)
        return handles
    if adapter.asubmit is not None:
        return await _fan_out(adapter, name, calls, 50)
    for call in calls:
        handles.append(await _send_one(adapter, name, call))
    return handles


async def _latency(adapter: Adapter, n: str, gap_ms: str = "15") -> dict[str, Any]:
    """The time just before each call, with an idle gap between the calls."""
    gap, submitted = float(gap_ms) / 1000, []
    for i in range(WARM):
        await _send_one(adapter, "mark", (UNUSED + i,))
    for number in range(int(n)):
        time.sleep(gap)  # the idle gap is the thing measured
        submitted.append(monotonic_ns())
        await _send_one(adapter, "mark", (number,))
    return {"submitted": submitted}


async def _round_trip(adapter: Adapter, n: str) -> dict[str, Any]:
    """Submit and wait for the result, again and again, in milliseconds."""
    times, right = [], 0
    for i in range(WARM):
        await _fetch(adapter, await _send_one(adapter, "double", (UNUSED + i,)))
    for number in range(int(n)):
        begin = monotonic_ns()
        value = await _fetch(adapter, await _send_one(adapter, "double", (number,)))
        times.append((monotonic_ns() - begin) / 1e6)
        right += value == number * 2
    return {"ms": times, "right": right}


async def _results(adapter: Adapter, n: str) -> dict[str, Any]:
    """Enqueue, wait for a word on stdin (all have run), then read every result."""
    calls = _calls("double", int(n))
    handles = await _send_many(adapter, "double", calls)
    _say({"enqueued": len(handles)})
    sys.stdin.readline()
    begin = perf_counter()
    right = await _read_back(adapter, zip(handles, calls, strict=True))
    return {"right": right, "seconds": perf_counter() - begin}


async def _read_back(adapter: Adapter, pairs: Iterable[tuple[Any, tuple[Any, ...]]]) -> int:
    """Count the results that are twice their argument; 50 at a time where the peer can."""
    right, missing, rest = 0, 0, iter(pairs)

    async def lane() -> None:
        nonlocal right, missing
        for handle, (number,) in rest:
            try:
                value = await _fetch(adapter, handle, RESULT_S)
                right += value == 2 * number
            except Exception:  # each peer has its own way to say that there is none
                missing += 1
            if missing >= MISSING:
                return

    await asyncio.gather(*(lane() for _ in range(50))) if adapter.afetch else await lane()
    return right


async def _fetch(adapter: Adapter, handle: Any, timeout: float = PATIENCE_S) -> Any:
    if adapter.fetch is not None:
        return adapter.fetch(handle, timeout)
    assert adapter.afetch is not None
    return await adapter.afetch(handle, timeout)


_COMMANDS: dict[str, Command] = {
    "enqueue_single": _single,
    "enqueue_inflight": _in_flight,
    "enqueue_bulk": _bulk,
    "latency": _latency,
    "roundtrip": _round_trip,
    "results": _results,
}


def program(name: str) -> str:
    """Give the path of a console script of this environment."""
    return os.path.join(os.path.dirname(sys.executable), name)


__all__ = ["Adapter", "Options", "options", "program", "serve"]
