"""Consumers that share a queue, each with tasks of its own: whoever is woken for another passes it on."""

from __future__ import annotations

import select
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.consumer import Consumer
from alsek.core.message import Message
from alsek.core.settlement import Succeeded
from alsek.storage.backends.redis import RedisBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Far below the look-around of a consumer (half a lease), far above what a wake-up takes.
AT_ONCE_S = 5.0


@pytest.fixture
def broker(redis_url: str) -> Broker:
    return Broker(RedisBackend(redis_url))


@pytest.fixture
def pair(broker: Broker) -> Iterator[list[Consumer]]:
    """Two consumers of one queue; Redis wakes the first one first."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(closing(Consumer(broker, {"shared": [name]}, name=name))) for name in ("mine", "yours")
        ]


def woken(consumer: Consumer) -> list[Message]:
    """What the end of a sleep brought, which has to come at once."""
    ready, _, _ = select.select([consumer.fileno()], [], [], AT_ONCE_S)
    assert ready, "nothing woke it"
    return consumer.wake_up().messages


@pytest.mark.parametrize("standing", [0, 1])
def test_a_wake_up_that_was_meant_for_another_is_passed_on(broker: Broker, pair: list[Consumer], standing: int) -> None:
    for consumer in pair:
        assert consumer.exchange((), 1).messages == []
        consumer.fall_asleep(standing)

    broker.submit(Message("yours", queue="shared"))

    for consumer, expected in zip(pair, ([], ["yours"]), strict=True):
        messages = woken(consumer) or consumer.exchange((), 1).messages
        assert [message.task_name for message in messages] == expected


def test_who_passed_it_on_looks_again_soon_without_it(broker: Broker, pair: list[Consumer]) -> None:
    mine, yours = pair
    broker.submit(Message("yours", queue="shared"))
    assert mine.exchange((), 1).messages == []
    mine.fall_asleep(1)  # the marker is there again, and must not wake it at once for ever
    broker.submit(Message("mine", queue="shared"))

    assert [message.task_name for message in woken(mine)] == ["mine"]
    assert broker.redis.links.command("LLEN", broker.keys.wake("shared", 0)) == 1
    (message,) = yours.exchange((), 1).messages
    assert yours.exchange([Succeeded(message)], 0).codes[0].accepted
