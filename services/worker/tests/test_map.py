"""`map` and `amap`, from a program beside a real worker."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import os
import pty
import subprocess
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from worker_stage import PROGRAMS, Stage

from alsek.exceptions import TaskFailedError, ValidationError

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture
def tasks(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tasks, as the program of a user imports them."""
    monkeypatch.setenv("ALSEK_REDIS_URL", redis_url)
    spec = importlib.util.spec_from_file_location("mapped", PROGRAMS / "mapped.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def waiting(stage: Stage) -> int:
    client: Any = stage.broker.redis.conn
    return int(client.zcard(stage.broker.keys.ready("maps", 0)))


def test_results_of_many_calls(stage: Stage, tasks: ModuleType) -> None:
    stage.pool("worker", package="mapped")
    add, odd, double = tasks.add, tasks.odd, tasks.double

    # In order, whatever the window; also of a unique task, and of an endless iterable.
    assert list(add.map(range(1_000), itertools.count(1), window=50)) == [2 * n + 1 for n in range(1_000)]
    assert list(add.map([7] * 30)) == [7] * 30
    assert list(itertools.islice(add.map(itertools.count()), 20)) == list(range(20))
    assert list(add.map([])) == []
    assert sorted(add.options(priority=3).map(range(300), window=7, as_completed=True)) == list(range(300))
    assert list(double.map(range(100))) == [2 * n for n in range(100)]

    # Errors: the first is raised, or each stands in its place.
    seen = []
    with pytest.raises(TaskFailedError, match="4 is even"):
        for result in odd.map([1, 3, 4, 5, 6]):
            seen.append(result)  # noqa: PERF402 - what came before the error
    assert seen == [1, 3]
    mixed = list(odd.map([1, 2, 3], return_exceptions=True))
    assert (mixed[0], mixed[2], type(mixed[1])) == (1, 3, TaskFailedError)

    async def amap() -> None:
        assert [result async for result in add.amap(range(500), window=64)] == list(range(500))
        got = [result async for result in add.options(priority=1).amap(range(50), as_completed=True)]
        assert sorted(got) == list(range(50))
        assert [type(one) async for one in odd.amap([1, 2], return_exceptions=True)] == [int, TaskFailedError]
        async with aclosing(add.amap(itertools.count(), window=10)) as endless:
            assert [result async for result in asyncify(endless, 5)] == list(range(5))
        with pytest.raises(TaskFailedError):
            _ = [result async for result in odd.amap([2])]

    asyncio.run(amap())
    names = list(stage.broker.redis.conn.scan_iter("*results:*"))
    assert len(names) <= 520, "what was fetched is gone; what was left early may lie there"


async def asyncify(stream: Any, count: int) -> Any:
    for _ in range(count):
        yield await anext(stream)


def test_no_more_than_the_window_is_enqueued(stage: Stage, tasks: ModuleType) -> None:
    taken = itertools.count()
    stream = tasks.add.map(taken, window=20)
    assert waiting(stage) == 0  # nothing before the first result is asked for

    pool = stage.pool("worker", package="mapped")
    for _ in range(35):
        next(stream)
    pool.terminate()

    # 35 were had; the iterable was read no further than the window beyond them.
    assert next(taken) <= 35 + 20
    stream.close()


def test_a_map_that_cannot_be_is_refused_at_once(stage: Stage, tasks: ModuleType) -> None:
    for wrong, complaint in (
        (lambda: tasks.forgetful.map([1]), r"task forgetful keeps none: @task\(\.\.\., result_store=\.\.\.\)"),
        (lambda: tasks.forgetful.amap([1]), "keeps none"),
        (lambda: tasks.add.map(), "takes an iterable for each argument of add, at least one"),
        (lambda: tasks.add.map([1], window=0), "window"),
        (lambda: tasks.add.map([1], window=1.5), "window"),
        (lambda: tasks.add.options(uuid="mine").map([1]), "map\\(\\) takes no uuid"),
        (lambda: tasks.add.options(unique_for=5).amap([1]), "map\\(\\) takes no unique_for"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            wrong()
    assert waiting(stage) == 0


def test_a_bar_is_shown_on_a_terminal_only(stage: Stage, redis_url: str) -> None:
    stage.pool("worker", package="mapped")
    program = "import mapped; print(sum(mapped.add.map(range(200), window=10)))"
    environment = {**os.environ, "ALSEK_REDIS_URL": redis_url, "TERM": "xterm", "COLUMNS": "100"}
    ours, theirs = pty.openpty()

    plain = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROGRAMS, capture_output=True, timeout=60, check=True
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=PROGRAMS, stdout=subprocess.PIPE, stderr=theirs,
        timeout=60, check=True,
    )  # fmt: skip
    os.close(theirs)
    told = b""
    try:
        while chunk := os.read(ours, 65_536):
            told += chunk
    except OSError:  # the end, as Linux tells it
        pass
    os.close(ours)

    assert (plain.stdout, plain.stderr) == (b"19900\n", b"")
    assert shown.stdout == b"19900\n"
    assert b"add" in told
    assert b"200/200" in told
