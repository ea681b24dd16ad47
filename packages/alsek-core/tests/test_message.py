"""The message: its fields, its rules, what one can do with it."""

from __future__ import annotations

import copy
import enum
import pickle
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alsek.core.backoff import ConstantBackoff, ExponentialBackoff
from alsek.core.message import Lease, Message
from alsek.defaults import MAX_DURATION_MS, MAX_PRIORITY
from alsek.exceptions import ValidationError
from alsek.types import ExceptionDetails

FIELDS = [
    "task_name",
    "queue",
    "args",
    "kwargs",
    "priority",
    "metadata",
    "exception_details",
    "result_ttl",
    "uuid",
    "progenitor_uuid",
    "retries",
    "timeout",
    "created_at",
    "updated_at",
    "delay",
    "previous_result",
    "previous_message_uuid",
    "callback_message_data",
    "backoff_settings",
    "mechanism",
    "linked_lock",
]

NAMES = st.from_regex(r"[a-z][a-z0-9_.\-]{0,30}", fullmatch=True)
TIMES = st.integers(0, 2**41)
VALUES = st.none() | st.integers() | st.text() | st.lists(st.integers())
DICTS = st.dictionaries(st.text(), VALUES, max_size=3)


def messages(callback: st.SearchStrategy[Any]) -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        task_name=NAMES,
        queue=st.none() | NAMES,
        args=st.none() | st.lists(VALUES),
        kwargs=st.none() | DICTS,
        priority=st.integers(0, MAX_PRIORITY),
        metadata=st.none() | DICTS,
        exception_details=st.none() | st.builds(ExceptionDetails, NAMES, st.none() | st.text()),
        result_ttl=st.none() | st.integers(1, 10**9),
        uuid=st.none() | NAMES,
        progenitor_uuid=st.none() | NAMES,
        retries=st.integers(0, 100),
        timeout=st.integers(1, MAX_DURATION_MS),
        created_at=st.shared(TIMES, key="time"),
        updated_at=st.shared(TIMES, key="time").map(lambda at: at + 5),
        delay=st.none() | st.integers(0, 10**9),
        previous_result=VALUES,
        previous_message_uuid=st.none() | NAMES,
        callback_message_data=callback,
        backoff_settings=st.none() | st.builds(ConstantBackoff, st.integers(0, 9)).map(lambda b: b.settings),
        mechanism=st.sampled_from(["process", "thread", "async"]),
        linked_lock=st.none() | st.just({"name": "a", "owner_id": "b"}),
    )


ANY_MESSAGE = messages(st.none() | messages(st.none()).map(lambda message: message.data))


@given(ANY_MESSAGE)
def test_data_rebuilds_an_equal_message(message: Message) -> None:
    assert list(message.data) == FIELDS
    assert Message(**message.data).data == message.data


def test_defaults_are_upstreams() -> None:
    before = time.time_ns() // 1_000_000

    message = Message("add")

    data = message.data
    assert before <= data.pop("created_at") == data.pop("updated_at") <= time.time_ns() // 1_000_000
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", data.pop("uuid"))
    assert data == {
        "task_name": "add",
        "queue": "alsek_queue",
        "args": (),
        "kwargs": {},
        "priority": 0,
        "metadata": None,
        "exception_details": None,
        "result_ttl": None,
        "progenitor_uuid": None,
        "retries": 0,
        "timeout": 3_600_000,
        "delay": 0,
        "previous_result": None,
        "previous_message_uuid": None,
        "callback_message_data": None,
        "backoff_settings": ExponentialBackoff().settings,
        "mechanism": "thread",
        "linked_lock": None,
    }


def test_fields_can_be_given_by_position_in_upstreams_order() -> None:
    message = Message("add", "math_ops", [1, 2], {"x": 3}, 4)

    assert (message.queue, message.args, message.kwargs, message.priority) == ("math_ops", (1, 2), {"x": 3}, 4)


def test_repr_shows_one_field_per_line() -> None:
    message = Message("add", queue="math_ops", args=(1, 1), uuid="u", created_at=0, updated_at=1_500)

    lines = repr(message).splitlines()

    assert lines[:4] == ["Message(", "    task_name='add',", "    queue='math_ops',", "    args=(1, 1),"]
    assert "    created_at='1970-01-01 00:00:00+00:00'," in lines
    assert "    updated_at='1970-01-01 00:00:01.500000+00:00'," in lines
    assert lines[-2:] == ["    linked_lock=None,", ")"]
    assert [line.strip().partition("=")[0] for line in lines[1:-1]] == FIELDS


def test_summary_is_one_line() -> None:
    message = Message("add", queue="math_ops", uuid="u")

    assert message.summary == "Message(uuid='u', queue='math_ops', task='add')"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("task_name", None, "task name must be a text, not None"),
        ("task_name", 3, "task name must be a text, not int"),
        ("task_name", len, "task name must be a text, not builtin_function_or_method"),
        ("task_name", "", "1 to 128 characters"),
        ("task_name", "a" * 129, "1 to 128 characters, not 129"),
        ("queue", "", "queue must have 1 to 128"),
        ("queue", 7, "queue must be a text"),
        ("uuid", "", "uuid must have"),
        ("uuid", "u" * 129, "uuid must have"),
        ("uuid", "a b", "may not contain whitespace"),
        ("uuid", "a\n", "may not contain whitespace"),
        ("uuid", 5, "uuid must be a text"),
        ("progenitor_uuid", "a b", "progenitor_uuid"),
        ("previous_message_uuid", 5, "previous_message_uuid"),
        ("priority", -1, "from 0 .most urgent. to 4095"),
        ("priority", MAX_PRIORITY + 1, "from 0"),
        ("priority", 1.5, "from 0"),
        ("priority", "1", "from 0"),
        ("priority", True, "from 0"),
        ("delay", -1, "delay must be a whole number of milliseconds"),
        ("delay", 0.5, "delay must"),
        ("delay", float("nan"), "delay must"),
        ("delay", float("inf"), "delay must"),
        ("delay", "10", "delay must"),
        ("delay", 2**63, "delay must"),
        ("timeout", 0, "timeout must be a whole number of milliseconds ≥ 1"),
        ("timeout", None, "timeout must"),
        ("result_ttl", 0, "result_ttl must"),
        ("result_ttl", -5, "result_ttl must"),
        ("retries", -1, "number of retries must"),
        ("retries", 1.5, "number of retries must"),
        ("mechanism", "fiber", "process, thread, async"),
        ("mechanism", [], "process, thread, async"),
        ("args", "ab", "args must be a list or tuple, not str"),
        ("args", {"a": 1}, "args must be a list or tuple, not dict"),
        ("args", 5, "args must be a list or tuple, not int"),
        ("kwargs", [1], "kwargs must be a dict, not list"),
        ("kwargs", {1: 2}, "keys of kwargs must be texts, not int"),
        ("metadata", "x", "metadata must be a dict"),
        ("callback_message_data", {"a": 1}, "must be the data of a message"),
        ("backoff_settings", {"algorithm": "X"}, "must be the settings of a backoff"),
        ("backoff_settings", "X", "must be the settings of a backoff"),
    ],
)
def test_a_value_that_breaks_a_rule_is_refused_in_clear_words(field: str, value: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Message(**{"task_name": "add", field: value})


@pytest.mark.parametrize("character", list(" \t\n\x00\x7f\u2028\u00a0{}*?[]\\:\ud800"))
@pytest.mark.parametrize("field", ["task_name", "queue"])
def test_names_cannot_hold_what_keys_give_a_meaning(field: str, character: str) -> None:
    with pytest.raises(ValidationError, match="may not contain"):
        Message(**{"task_name": "add", field: f"a{character}b"})


@pytest.mark.parametrize("name", ["add", "my_app.tasks-2", "größe", "<lambda>", "a/b", "加", "1", "n" * 128])
def test_other_names_are_taken(name: str) -> None:
    assert Message(name, queue=name).queue == name


def test_a_name_of_a_str_enum_becomes_a_plain_text() -> None:
    class Queue(enum.StrEnum):
        MATH = "math_ops"

    assert type(Message("add", queue=Queue.MATH).queue) is str


def test_only_one_of_the_timestamps_is_refused() -> None:
    with pytest.raises(ValueError, match="both created_at and updated_at"):
        Message("add", created_at=1)
    with pytest.raises(ValueError, match="both created_at and updated_at"):
        Message("add", updated_at=1)


def test_whole_floats_are_taken_as_milliseconds() -> None:
    message = Message("add", delay=60 * 1e3)

    assert message.delay == 60_000
    assert type(message.delay) is int


@pytest.mark.parametrize("details", [ExceptionDetails("A", "b"), {"name": "A", "text": "b"}])
def test_exception_details_are_always_details(details: Any) -> None:
    message = Message("add", exception_details=details)

    assert message.exception_details == ExceptionDetails("A", "b", None)
    assert message.data["exception_details"] == {"name": "A", "text": "b", "traceback": None}


def test_exception_details_of_another_type_are_a_type_error() -> None:
    message = Message("add")

    with pytest.raises(TypeError):
        message.exception_details = "boom"  # type: ignore[assignment]


def test_messages_do_not_share_mutable_defaults() -> None:
    first, second = Message("add"), Message("add")

    first.kwargs["a"] = 1
    first.ephemeral_state["a"] = 1
    first.backoff_settings["parameters"]["floor"] = 1

    assert second.kwargs == {}
    assert second.ephemeral_state == {}
    assert second.backoff_settings == ExponentialBackoff().settings


def test_messages_of_one_task_do_not_share_its_backoff_settings() -> None:
    settings = ConstantBackoff().settings
    first = Message("add", backoff_settings=settings)

    first.backoff_settings["parameters"]["constant"] = 1

    assert settings == ConstantBackoff().settings


# -- time


def test_a_fresh_message_is_ready_after_its_delay() -> None:
    message = Message("add", delay=5_000)

    assert message.ready_at == message.created_at + 5_000
    assert 0 < message.ttr <= 5_000
    assert not message.ready
    assert Message("add").ready


def test_backoff_counts_from_the_failure_not_from_the_creation() -> None:
    hour = 3_600_000
    now = time.time_ns() // 1_000_000
    message = Message("add", created_at=now - hour, updated_at=now - hour, backoff_settings=ConstantBackoff().settings)

    message.increment_retries()

    assert message.retries == 1
    assert message.ready_at == message.updated_at + 60_000
    assert message.updated_at >= now
    assert not message.ready


def test_backoff_grows_with_the_retries() -> None:
    message = Message("add")

    durations = [message.increment_retries().get_backoff_duration() for _ in range(3)]

    assert durations == [60_000, 160_000, 640_000]


def test_timestamps_are_utc_whatever_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert abs(Message("add").created_at / 1000 - time.time()) < 5
    finally:
        monkeypatch.undo()
        time.tzset()


# -- copies and changes


def test_a_clone_is_deep_and_leaves_the_lease_behind() -> None:
    message = Message("add", kwargs={"a": [1]})
    message.lease = Lease("t", 1, 1, 5.0)

    clone = message.clone()
    clone.kwargs["a"].append(2)

    assert clone.uuid == message.uuid
    assert clone.lease is None
    assert message.kwargs == {"a": [1]}


def test_a_duplicate_has_a_uuid_of_its_own() -> None:
    message = Message("add", args=(1,))

    duplicate = message.duplicate()

    assert duplicate.uuid != message.uuid
    assert duplicate.data | {"uuid": message.uuid} == message.data
    assert message.duplicate("mine").uuid == "mine"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copying_and_pickling_keep_everything(copied: Any) -> None:
    message = Message("add", args=(1,), exception_details=ExceptionDetails("A"))
    message.lease = Lease("t", 1, 2, 5.0)
    message.add_to_ephemeral_state(a=1)

    twin = copied(message)

    assert twin.data == message.data
    assert twin.lease == message.lease
    assert twin.ephemeral_state == {"a": 1}


def test_update_works_in_place_and_returns_the_message() -> None:
    message = Message("add")

    assert message.update(priority=5, args=[1], exception_details={"name": "A"}) is message
    assert (message.priority, message.args) == (5, (1,))
    assert message.exception_details == ExceptionDetails("A")


@pytest.mark.parametrize(("change", "error"), [({"nope": 1}, KeyError), ({"delay": -1}, ValidationError)])
def test_an_update_that_is_refused_changes_nothing(change: dict[str, Any], error: type[Exception]) -> None:
    message = Message("add")
    before = message.data

    with pytest.raises(error):
        message.update(priority=5, **change)

    assert message.data == before


def test_metadata_is_added_to_a_new_dict() -> None:
    given_dict = {"a": 1}
    message = Message("add", metadata=given_dict)

    assert message.add_to_metadata(b=2) is message

    assert message.metadata == {"a": 1, "b": 2}
    assert given_dict == {"a": 1}


@pytest.mark.parametrize("method", ["add_to_metadata", "add_to_ephemeral_state"])
def test_adding_nothing_or_what_is_there_is_refused(method: str) -> None:
    message = Message("add")
    getattr(message, method)(a=1)

    with pytest.raises(KeyError):
        getattr(message, method)(a=2)
    with pytest.raises(ValueError, match="Nothing to add"):
        getattr(message, method)()


def test_ephemeral_state_is_not_part_of_the_data() -> None:
    message = Message("add").add_to_ephemeral_state(handle=object())

    assert "ephemeral_state" not in message.data
    assert list(message.ephemeral_state) == ["handle"]


def test_descendants_are_listed_in_order() -> None:
    third = Message("c")
    second = Message("b", callback_message_data=third.data)
    first = Message("a", callback_message_data=second.data)

    assert first.descendant_uuids == [second.uuid, third.uuid]
    assert third.descendant_uuids is None


# -- locks


def test_a_lock_is_linked_by_name_and_owner() -> None:
    message = Message("add")

    assert message.link_lock(SimpleNamespace(name="a", owner_id="me")) is message
    assert message.linked_lock == {"name": "a", "owner_id": "me"}


def test_a_second_lock_needs_override() -> None:
    message = Message("add").link_lock(SimpleNamespace(name="a", owner_id="me"))
    other = SimpleNamespace(name="b", owner_id="me")

    with pytest.raises(AttributeError):
        message.link_lock(other)

    assert message.link_lock(other, override=True).linked_lock == {"name": "b", "owner_id": "me"}


def test_releasing_without_a_lock_is_an_error_or_false() -> None:
    message = Message("add")

    assert message.release_lock(not_linked_ok=True, target_backend=None) is False
    with pytest.raises(AttributeError):
        message.release_lock(not_linked_ok=False, target_backend=None)


def test_a_lease_is_a_value() -> None:
    lease = Lease(token="t", fence=1, deliveries=2, deadline=3.0)

    with pytest.raises(AttributeError):
        lease.fence = 2  # type: ignore[misc]
