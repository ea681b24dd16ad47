"""§4: the broker in a program's hands, without a worker."""

from __future__ import annotations

import time

import pytest

from alsek import Broker, Lock, Message
from alsek.core.backoff import ConstantBackoff
from alsek.core.consumer import Consumer
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import MessageAlreadyExistsError, MessageDoesNotExistsError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from harness.eventually import eventually


@pytest.fixture
def message(broker: Broker) -> Message:
    """A message that waits."""
    message = Message("add", queue="math", args=(1, 2), backoff_settings=ConstantBackoff(60_000).settings)
    broker.submit(message)
    return message


def test_the_parameters_are_attributes_and_may_be_changed(backend: RedisBackend) -> None:
    broker = Broker(backend)

    assert (broker.backend, broker.dlq_ttl) == (backend, DEFAULT_TTL)
    broker.dlq_ttl = None
    assert "dlq_ttl=None" in repr(broker)


def test_an_async_backend_is_refused() -> None:
    with pytest.raises(AttributeError):
        Broker(AsyncRedisBackend("redis://localhost:1"))


def test_a_submitted_message_exists(broker: Broker, message: Message) -> None:
    assert broker.exists(message)
    assert not broker.exists(Message("add", queue="math"))


def test_the_same_message_is_not_submitted_twice(broker: Broker, message: Message) -> None:
    with pytest.raises(MessageAlreadyExistsError):
        broker.submit(message)


def test_a_message_that_nobody_ran_is_gone_after_its_ttl(backend: RedisBackend) -> None:
    broker = Broker(backend, dlq_ttl=None)
    message = Message("add", queue="math")
    broker.submit(message, ttl=20)
    time.sleep(0.03)

    consumer = Consumer(broker, ["math"])

    assert consumer.exchange((), 1).messages == []
    assert not broker.exists(message)
    consumer.close()


def test_a_retry_is_counted_here_and_in_redis(broker: Broker, message: Message) -> None:
    broker.retry(message)

    assert message.retries == 1
    assert broker.sync_from_backend(message).retries == 1


def test_what_is_gone_is_not_retried(broker: Broker) -> None:
    with pytest.raises(MessageDoesNotExistsError):
        broker.retry(Message("add"))


@pytest.mark.parametrize("verb", ["remove", "ack"])
def test_a_message_is_taken_away_and_a_missing_one_is_fine(verb: str, broker: Broker, message: Message) -> None:
    getattr(broker, verb)(message)
    getattr(broker, verb)(message)

    assert not broker.exists(message)
    assert not broker.in_dlq(message)


def test_a_failed_message_is_a_dead_letter_and_failing_again_is_harmless(broker: Broker, message: Message) -> None:
    broker.fail(message)
    broker.fail(message)

    assert broker.in_dlq(message)
    assert not broker.exists(message)


@pytest.mark.parametrize("dlq_ttl", [None, 0])
def test_without_a_dlq_ttl_nothing_is_left_of_a_failure(dlq_ttl: int | None, broker: Broker, message: Message) -> None:
    broker.dlq_ttl = dlq_ttl
    broker.fail(message)

    assert not broker.in_dlq(message)
    assert not broker.exists(message)


def test_a_dead_letter_is_gone_after_the_dlq_ttl(broker: Broker, message: Message) -> None:
    broker.dlq_ttl = 20
    broker.fail(message)

    def gone() -> bool:
        broker.renew((), ["math"])  # a worker's heartbeat clears what is over
        return not broker.in_dlq(message)

    eventually(gone, what="the dead letter is gone")


def test_looking_for_a_dead_letter_logs_nothing(
    broker: Broker, message: Message, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "alsek")
    broker.in_dlq(message)

    assert caplog.records == []


def test_a_message_is_read_from_its_queue(broker: Broker, message: Message) -> None:
    found = broker.sync_from_backend(Message("add", queue="math", uuid=message.uuid))

    assert found is not message
    assert found.data == message.data


def test_a_message_is_read_from_the_dead_letters(broker: Broker, message: Message) -> None:
    broker.fail(message)

    assert broker.sync_from_backend(message).data == message.data


def test_reading_what_is_nowhere_is_a_key_error(broker: Broker) -> None:
    with pytest.raises(KeyError):
        broker.sync_from_backend(Message("add"))


@pytest.mark.parametrize("dead", [False, True], ids=["in its queue", "among the dead letters"])
def test_fields_are_written_back_to_where_the_message_is(dead: bool, broker: Broker, message: Message) -> None:
    if dead:
        broker.fail(message)
    message.add_to_metadata(note="mine")

    broker.sync_to_backend(message)

    assert broker.sync_from_backend(message).metadata == {"note": "mine"}
    assert broker.in_dlq(message) is dead


def test_writing_back_what_is_nowhere_is_refused(broker: Broker) -> None:
    with pytest.raises(MessageDoesNotExistsError):
        broker.sync_to_backend(Message("add"))


@pytest.mark.parametrize("verb", ["remove", "ack", "fail"])
def test_a_linked_lock_is_released_with_its_message(verb: str, broker: Broker) -> None:
    lock = Lock("mine", broker.backend)
    lock.acquire()
    message = Message("add", queue="math").link_lock(lock)
    broker.submit(message)

    getattr(broker, verb)(message)

    assert not lock.held
    assert message.linked_lock is None


def test_unlike_upstream_a_uuid_stands_for_one_message_whatever_its_task(broker: Broker, message: Message) -> None:
    with pytest.raises(MessageAlreadyExistsError):
        broker.submit(Message("mail", queue="mails", uuid=message.uuid))
