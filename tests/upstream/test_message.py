"""§3: the message. What packages/alsek-core/tests/test_message.py proves in depth stands here once."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING

import pytest

from alsek import Lock, Message
from alsek.core.backoff import ConstantBackoff, ExponentialBackoff
from alsek.utils.parsing import ExceptionDetails

if TYPE_CHECKING:
    from alsek.storage.backends.redis import RedisBackend

#: Upstream's parameters, in order, with what they become.
FIELDS = {
    "task_name": "add",
    "queue": "alsek_queue",
    "args": (),
    "kwargs": {},
    "priority": 0,
    "metadata": None,
    "exception_details": None,
    "result_ttl": None,
    "uuid": "made",
    "progenitor_uuid": None,
    "retries": 0,
    "timeout": 3_600_000,
    "created_at": "made",
    "updated_at": "made",
    "delay": 0,
    "previous_result": None,
    "previous_message_uuid": None,
    "callback_message_data": None,
    "backoff_settings": ExponentialBackoff().settings,
    "mechanism": "thread",
    "linked_lock": None,
}


def test_the_constructor_takes_upstreams_fields_in_upstreams_order() -> None:
    assert list(inspect.signature(Message).parameters) == list(FIELDS)


def test_data_has_upstreams_fields_and_defaults() -> None:
    data = Message("add").data

    assert {name: data[name] for name, value in FIELDS.items() if value != "made"} == {
        name: value for name, value in FIELDS.items() if value != "made"
    }
    assert list(data) == list(FIELDS)


def test_data_rebuilds_the_message() -> None:
    message = Message(
        "add", "math", (1,), {"b": 2}, 5, {"k": [1]}, {"name": "ValueError", "text": "no", "traceback": None}, 1_000,
        "mine", "root", 2, 3_000, 1_700_000_000_000, 1_700_000_000_001, 10, [7], "parent", Message("sub").data,
        ConstantBackoff(5).settings, "process", {"name": "lock", "owner_id": "me"},
    )  # fmt: skip

    assert Message(**message.data).data == message.data


def test_args_are_a_tuple_whatever_was_given() -> None:
    assert Message("add", args=[1, 2]).args == (1, 2)


def test_one_timestamp_without_the_other_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        Message("add", created_at=1)


def test_exception_details_are_always_details_or_none() -> None:
    message = Message("add", exception_details={"name": "KeyError", "text": None, "traceback": None})

    assert message.exception_details == ExceptionDetails("KeyError")
    with pytest.raises(TypeError):
        message.exception_details = "text"


def test_the_repr_shows_a_field_a_line() -> None:
    lines = repr(Message("add", created_at=0, updated_at=0)).splitlines()

    assert lines[:4] == ["Message(", "    task_name='add',", "    queue='alsek_queue',", "    args=(),"]
    assert next(line for line in lines if "created_at" in line).startswith("    created_at='1970-01-01 00:00:00")


def test_the_summary_is_one_line() -> None:
    assert Message("add", queue="math", uuid="1").summary == "Message(uuid='1', queue='math', task='add')"


def test_the_backoff_is_that_of_its_retries() -> None:
    assert Message("add", retries=2).get_backoff_duration() == ExponentialBackoff().get(2) == 160_000


def test_a_delay_is_told_by_ready_and_ttr() -> None:
    now = int(time.time() * 1000)
    late, due = Message("add", delay=60_000, created_at=now, updated_at=now), Message("add")

    assert late.ready_at == now + 60_000
    assert (late.ready, due.ready, due.ttr) == (False, True, 0)
    assert 0 < late.ttr <= 60_000


def test_descendants_are_the_nested_callbacks_in_order() -> None:
    last = Message("c", uuid="3")
    middle = Message("b", uuid="2", callback_message_data=last.data)

    assert Message("a", callback_message_data=middle.data).descendant_uuids == ["2", "3"]
    assert last.descendant_uuids is None


def test_a_lock_is_linked_once() -> None:
    message, lock = Message("add"), type("Lock", (), {"name": "n", "owner_id": "o"})()

    assert message.link_lock(lock) is message
    assert message.linked_lock == {"name": "n", "owner_id": "o"}
    with pytest.raises(AttributeError):
        message.link_lock(lock)
    assert message.link_lock(lock, override=True) is message


def test_a_linked_lock_is_released_through_the_message(backend: RedisBackend) -> None:
    lock = Lock("n", backend)
    lock.acquire()
    message = Message("add").link_lock(lock)

    assert message.release_lock(not_linked_ok=False, target_backend=backend)
    assert lock.holder is None


def test_releasing_no_lock_is_an_error_unless_that_is_ok(backend: RedisBackend) -> None:
    assert not Message("add").release_lock(not_linked_ok=True, target_backend=backend)
    with pytest.raises(AttributeError):
        Message("add").release_lock(not_linked_ok=False, target_backend=backend)


def test_a_clone_is_deep_and_keeps_the_uuid() -> None:
    message = Message("add", metadata={"k": [1]})
    clone = message.clone()
    clone.metadata["k"].append(2)

    assert (clone.uuid, message.metadata) == (message.uuid, {"k": [1]})


def test_a_duplicate_gets_a_new_uuid_or_the_given_one() -> None:
    message = Message("add")

    assert message.duplicate().uuid != message.uuid
    assert message.duplicate("mine").uuid == "mine"


def test_update_works_in_place_and_knows_the_fields() -> None:
    message = Message("add")

    assert message.update(queue="math", priority=1) is message
    assert (message.queue, message.priority) == ("math", 1)
    with pytest.raises(KeyError):
        message.update(colour="red")


def test_a_retry_more_is_counted_and_dated() -> None:
    message = Message("add", created_at=0, updated_at=0).increment_retries()

    assert message.retries == 1
    assert message.updated_at > message.created_at


@pytest.mark.parametrize(
    ("method", "attribute"), [("add_to_metadata", "metadata"), ("add_to_ephemeral_state", "ephemeral_state")]
)
def test_metadata_and_ephemeral_state_are_added_to(method: str, attribute: str) -> None:
    message = Message("add")
    add = getattr(message, method)

    assert add(a=1) is message
    assert getattr(message, attribute) == {"a": 1}
    with pytest.raises(KeyError):
        add(a=2)
    with pytest.raises(ValueError):
        add()


def test_the_ephemeral_state_is_not_part_of_the_data() -> None:
    assert "ephemeral_state" not in Message("add").add_to_ephemeral_state(a=1).data
