"""§9: results in a program's hands. The worker's part stands in test_execution.py."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from alsek import Message
from alsek.exceptions import ValidationError
from alsek.storage.result import ResultStore
from alsek.tools import ResultPool
from harness.eventually import eventually

if TYPE_CHECKING:
    from types import ModuleType

    from alsek.storage.backends.redis import RedisBackend


@pytest.fixture
def store(backend: RedisBackend) -> ResultStore:
    """An empty store."""
    return ResultStore(backend)


@pytest.fixture
def family() -> list[Message]:
    """A message that carries two callbacks, and these."""
    last = Message("c", uuid="3", progenitor_uuid="1")
    middle = Message("b", uuid="2", progenitor_uuid="1", callback_message_data=last.data)
    return [Message("a", uuid="1", callback_message_data=middle.data), middle, last]


def test_fetching_a_result_deletes_it(store: ResultStore) -> None:
    message = Message("add")
    store.set(message, {"n": [1, None]})

    assert store.get(message) == {"n": [1, None]}
    with pytest.raises(KeyError):
        store.get(message)


def test_a_result_that_is_kept_can_be_fetched_again(store: ResultStore) -> None:
    message = Message("add")
    store.set(message, None)

    assert store.get(message, keep=True) is None
    assert store.exists(message)


def test_a_second_result_is_a_key_error_unless_it_may_replace(store: ResultStore) -> None:
    message = Message("add")
    store.set(message, 1)

    with pytest.raises(KeyError):
        store.set(message, 2)
    store.set(message, 3, nx=False)
    assert store.get(message) == 3


def test_a_result_expires_with_its_ttl(store: ResultStore) -> None:
    message = Message("add", result_ttl=20)
    store.set(message, 1)

    eventually(lambda: not store.exists(message), what="it is gone")


def test_metadata_tells_whose_result_it_is_and_when_it_was_written(store: ResultStore) -> None:
    message = Message("add")
    store.set(message, 1)

    found = store.get(message, with_metadata=True)
    assert (set(found), found["result"], found["uuid"]) == ({"result", "timestamp", "uuid"}, 1, message.uuid)
    assert abs(found["timestamp"] - message.created_at) < 10_000


def test_waiting_in_vain_is_a_timeout_error(store: ResultStore) -> None:
    with pytest.raises(TimeoutError):
        store.get(Message("add"), timeout=20)


def test_a_result_can_be_waited_for_in_any_thread(worked: ModuleType) -> None:
    message = worked.add.generate((1, 2), delay=50)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(worked.result_store.get(message, timeout=60_000)))
    thread.start()
    thread.join(15)

    assert found == [3]


def test_descendants_come_as_a_list_ordered_by_time(store: ResultStore, family: list[Message]) -> None:
    for n, message in enumerate(family):
        store.set(message, n)

    assert store.exists(family[0], descendants=True)
    assert store.get(family[0], descendants=True) == [0, 1, 2]


def test_descendants_that_the_message_names_have_to_be_complete(store: ResultStore, family: list[Message]) -> None:
    store.set(family[0], 0)

    assert not store.exists(family[0], descendants=True)
    with pytest.raises(KeyError):
        store.get(family[0], descendants=True)


def test_descendants_that_the_message_does_not_name_are_what_is_there(store: ResultStore) -> None:
    first = Message("fire", uuid="1")
    store.set(first, 0)
    store.set(Message("fire", uuid="2", progenitor_uuid="1"), 1)

    assert store.get(first, descendants=True) == [0, 1]


def test_deleting_tells_how_many(store: ResultStore, family: list[Message]) -> None:
    for message in family:
        store.set(message, 0)

    assert store.delete(family[0]) == 3
    assert store.delete(family[0], missing_ok=True) == 0
    with pytest.raises(KeyError):
        store.delete(family[0])


def test_names_are_upstreams(store: ResultStore) -> None:
    assert store.get_storage_name(Message("add", uuid="1")) == "results:1"
    assert store.get_storage_name(Message("add", uuid="2", progenitor_uuid="1")) == "results:1:descendants:2"


def test_istream_gives_results_as_they_come(worked: ModuleType) -> None:
    messages = [worked.add.generate((n, n), delay=delay) for n, delay in enumerate((3_000, 0, 1_500))]

    found = list(ResultPool(worked.result_store).istream(*messages, wait=10_000))

    assert [(messages.index(message), result) for message, result in found] == [(1, 2), (2, 4), (0, 0)]
    assert not any(worked.result_store.exists(message) for message in messages)


def test_stream_gives_results_in_the_order_of_the_messages(worked: ModuleType) -> None:
    messages = [worked.add.generate((n, n), delay=delay) for n, delay in enumerate((100, 0, 50))]

    found = list(ResultPool(worked.result_store).stream(*messages, wait=1_000, keep=True))

    assert [result for _, result in found] == [0, 2, 4]
    assert all(worked.result_store.exists(message) for message in messages)


@pytest.mark.parametrize("method", ["istream", "stream"])
def test_the_same_message_twice_is_refused_at_the_first_step(method: str, store: ResultStore) -> None:
    message = Message("add")
    results = getattr(ResultPool(store), method)(message, message)

    with pytest.raises(ValidationError):
        next(results)


def test_the_pool_gives_descendants(worked: ModuleType) -> None:
    child = worked.add_previous.generate((10,), submit=False)
    message = worked.add.generate((1, 2), callback=child)

    [(_, results)] = ResultPool(worked.result_store).istream(message, descendants=True)

    assert results == [3, 13]
