"""Calls are checked where they are made; `delay` and `options` say in one line what `generate` says in several."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import alsek
from alsek import Broker, Message, task
from alsek.core.backoff import ConstantBackoff, ExponentialBackoff, settings2backoff
from alsek.core.task import Task
from alsek.exceptions import NoRunningTaskError, ValidationError, WrongArgumentsError
from alsek.storage.backends.redis import RedisBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def broker(redis_url: str, namespace: str) -> Iterator[Broker]:
    """A broker of the test alone."""
    broker = Broker(RedisBackend(redis_url, namespace=namespace))
    yield broker
    broker.redis.close()


def nothing() -> None: ...
def one(a: int) -> None: ...
def with_default(a: int, b: int = 2) -> None: ...
def any_number(*numbers: int) -> None: ...
def named_only(a: int, *, b: int) -> None: ...
def any_name(a: int, **rest: int) -> None: ...
def by_position(a: int, b: int, /) -> None: ...
def with_message(a: int, message: Message) -> None: ...
def message_first(message: Message, a: int = 1) -> None: ...


RIGHT: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (nothing, (), {}), (one, (1,), {}), (one, (), {"a": 1}), (with_default, (1,), {}), (with_default, (1, 2), {}),
    (with_default, (1,), {"b": 3}), (any_number, (), {}), (any_number, (1, 2, 3), {}), (named_only, (1,), {"b": 2}),
    (any_name, (1,), {"x": 2}), (by_position, (1, 2), {}), (with_message, (1,), {}), (with_message, (), {"a": 1}),
    (message_first, (), {}), (message_first, (), {"a": 2}), (partial(one, 1), (), {}), (len, ("abc",), {}),
]  # fmt: skip

WRONG: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], str]] = [
    (nothing, (1,), {}, "too many positional"), (one, (), {}, "'a'"), (one, (1, 2), {}, "too many positional"),
    (one, (1,), {"a": 1}, "multiple values for argument 'a'"), (one, (1,), {"b": 1}, "'b'"),
    (with_default, (), {"b": 1}, "'a'"), (named_only, (1,), {}, "'b'"), (by_position, (1,), {"b": 2}, "'b'"),
    (any_number, (), {"x": 1}, "'x'"), (with_message, (), {}, "'a'"), (with_message, (1,), {"b": 1}, "'b'"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "args", "kwargs"), RIGHT)
def test_a_right_call_is_enqueued(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], broker: Broker
) -> None:
    called = task(broker, name="called")(function)

    for message in (called.generate(args, kwargs), called.delay(*args, **kwargs)):
        assert (message.args, message.kwargs) == (args, kwargs)
        assert broker.exists(message)


@pytest.mark.parametrize(("function", "args", "kwargs", "why"), WRONG)
def test_a_wrong_call_fails_where_it_is_made(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], why: str, broker: Broker
) -> None:
    called = task(broker, name="called")(function)

    for attempt in (
        lambda: called.generate(args, kwargs),
        lambda: called.delay(*args, **kwargs),
        lambda: called.generate_many([{"args": args, "kwargs": kwargs}]),
    ):
        with pytest.raises(WrongArgumentsError) as caught:
            attempt()
        assert why in str(caught.value)
        assert str(caught.value).startswith("called(")  # its signature
        assert isinstance(caught.value, TypeError | ValueError)
    assert list(broker.backend.scan("*m:*")) == []


def test_the_signature_is_shown_as_it_was_written(broker: Broker) -> None:
    with pytest.raises(WrongArgumentsError) as caught:
        task(broker)(with_default).delay()

    assert str(caught.value) == "with_default(a: int, b: int = 2) -> None: missing a required argument: 'a'"
    assert caught.value.task_name == "with_default"


def test_a_task_with_an_op_of_its_own_decides_what_it_takes(broker: Broker) -> None:
    class Summing(Task):
        def op(self, message: Message) -> int:
            return sum(message.args)

    summing = task(broker, base_task=Summing)(nothing)

    assert broker.exists(summing.generate((1, 2, 3)))


def test_options_are_kept_and_used_often(broker: Broker) -> None:
    called = task(broker, name="called", queue="usual")(one)
    urgent = called.options(priority=0, queue="urgent", timeout=5_000, delay=60_000, metadata={"by": "me"})

    messages = [urgent.delay(1), urgent.delay(a=2)]

    for message in messages:
        assert (message.queue, message.priority, message.timeout, message.delay) == ("urgent", 0, 5_000, 60_000)
        assert message.metadata == {"by": "me"}
        assert broker.exists(message)
    assert called.delay(1).queue == "usual"


async def adelay(broker: Broker) -> list[Message]:
    called = task(broker, name="called")(one)
    return [await called.adelay(1), await called.options(priority=7).adelay(a=2)]


def test_calls_can_be_awaited(broker: Broker) -> None:
    import asyncio

    messages = asyncio.run(adelay(broker))

    assert [message.priority for message in messages] == [0, 7]
    assert all(broker.exists(message) for message in messages)


def test_an_expiry_is_what_the_broker_stores(broker: Broker) -> None:
    message = task(broker, name="called")(one).options(expires=60_000).delay(1)

    expires_at = int(broker.redis.record(message.uuid)[b"x"])

    assert 0 < expires_at - message.created_at <= 61_000


def test_an_unknown_option_is_named_with_the_known_ones(broker: Broker) -> None:
    with pytest.raises(ValidationError, match=r"options\(\) takes priority, delay, queue.*; not prio"):
        task(broker, name="called")(one).options(prio=1)


@pytest.mark.parametrize("setting", ["retry_on", "no_retry_on"])
@pytest.mark.parametrize("value", ["ConnectionError", ConnectionError("instance"), (ConnectionError, "Timeout"), int])
def test_only_exceptions_choose_the_retries(setting: str, value: Any, broker: Broker) -> None:
    with pytest.raises(ValidationError, match=f"{setting} takes classes of exceptions"):
        task(broker, **{setting: value})(one)


def test_outside_of_a_task_there_is_no_current_message() -> None:
    with pytest.raises(NoRunningTaskError):
        alsek.current()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "5", None, True])
def test_a_snooze_takes_seconds(seconds: Any) -> None:
    with pytest.raises(ValidationError):
        alsek.Snooze(seconds)


# -- jitter ----------------------------------------------------------------------------------------------------------


def test_jitter_spreads_over_the_whole_range_from_the_floor() -> None:
    backoff = ExponentialBackoff(base=2, factor=1_000, floor=500, ceiling=8_000, jitter=True)

    drawn = [backoff.get(3) for _ in range(2_000)]

    assert 500 <= min(drawn) < 1_500
    assert 7_000 < max(drawn) <= 8_000
    assert 3_900 < sum(drawn) / len(drawn) < 4_600  # evenly: the mean is 4,250


def test_jitter_travels_with_the_message_and_only_then() -> None:
    spread = ConstantBackoff(1_000, floor=0, jitter=True)

    assert settings2backoff(spread.settings).jitter
    assert "jitter" not in ConstantBackoff(1_000).settings["parameters"]


# -- types -----------------------------------------------------------------------------------------------------------

#: A program of a user; where a comment names an error, each checker has to find one, and nowhere else.
TYPED = """
from collections.abc import AsyncIterator, Iterator

import alsek
from alsek import AsyncBroker, AsyncResultStore, Broker, Message, task
from alsek.core.backoff import ConstantBackoff
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from alsek import Brocker  # error: attr-defined

backend = RedisBackend()
broker = Broker(backend)
results = ResultStore(backend)

@task(broker, queue="math", result_store=results, retry_on=(OSError, ValueError), backoff=ConstantBackoff(1_000))
def add(a: int, b: int = 2) -> int:
    alsek.current().progress(1, 2, "half")
    if alsek.current().cancelled:
        raise alsek.Snooze(1.5)
    return a + b

@task(AsyncBroker.of(broker), mechanism="async")
async def fetch(url: str) -> bytes:
    return url.encode()

number: int = add(1, 2)
message: Message = add.delay(1, b=3)
again: Message = add.options(priority=1, delay=500, expires=None, callback=add.defer().generate()).delay(1)
made: Message = add.generate(args=(1, 2), kwargs={"b": 2}, priority=3, delay=1)
several: list[Message] = list(add.generate_many({"args": (n,)} for n in range(3)))
sums: list[int] = list(add.map([1, 2], [3, 4]))
pages: list[bytes] = list(fetch.map(["x"]))
lazy: Iterator[int] = add.map([1], window=5, as_completed=True, progress=False)
left: int = message.retries

async def use() -> bytes:
    sent: Message = await add.adelay(1)
    later: Message = await add.options(queue="slow").adelay(1, 2)
    await AsyncResultStore.of(results).get(sent, timeout=1)
    await AsyncBroker.of(broker).revoke(later)
    stream: AsyncIterator[int] = add.amap([1])
    async for total in stream:
        total.bit_length()
    async for page in fetch.amap(["x"], as_completed=True):
        page.decode()
    return await fetch("x")

add("one")              # error: arg-type
add.delay()             # error: call-arg
add.delay(1, c=2)       # error: call-arg
text: str = add(1)      # error: assignment
add.options(priority=1).delay("one")  # error: arg-type
add.options(priority="high").delay(1)  # error: arg-type
add.options(prority=1).delay(1)  # error: call-arg
fetch.delay(1)          # error: arg-type
words: list[str] = list(add.map([1]))  # error: arg-type
add.generate(args=7)    # error: arg-type
add.generate(args=(1,), delay="soon")  # error: arg-type
add.map(7)              # error: call-overload
task(broker, queue=7)   # error: arg-type
task(None)              # error: arg-type
alsek.current().progress("half")  # error: arg-type

async def misuse() -> None:
    await fetch.adelay()  # error: call-arg
    await add.options(queue="slow").adelay("one")  # error: arg-type
    unread: str = fetch("x")  # error: assignment
"""


@pytest.fixture
def typed_program(tmp_path: Path) -> Path:
    """That program, in a folder of its own."""
    program = tmp_path / "typed_program.py"
    program.write_text(TYPED)
    return program


def expected_errors() -> dict[int, str]:
    """The lines of the program that are wrong, and what mypy calls the mistake."""
    return {n: line.rpartition("# error: ")[2] for n, line in enumerate(TYPED.splitlines(), 1) if "# error: " in line}


def check(program: Path, *command: str) -> str:
    """Have a type checker read a program."""
    done = subprocess.run(
        [sys.executable, "-m", *command, program.name], cwd=program.parent, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_mypy_knows_what_a_task_takes_and_gives(typed_program: Path) -> None:
    said = check(typed_program, "mypy", "--strict", "--no-error-summary", "--hide-error-context")

    lines = [line for line in said.splitlines() if ": error: " in line]
    assert {int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]") for line in lines} == expected_errors(), said


def test_pyright_knows_what_a_task_takes_and_gives(typed_program: Path) -> None:
    said = check(typed_program, "pyright", "--outputjson", "--pythonpath", sys.executable)

    found = json.loads(said)["generalDiagnostics"]
    assert {mistake["range"]["start"]["line"] + 1 for mistake in found} == set(expected_errors()), said
