"""A connection that is used again never hands out replies of whoever used it before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alsek import Broker, Message
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.verbs import Held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.storage.backends.redis.link import Call


@pytest.fixture
def broker(redis_url: str) -> Iterator[Broker]:
    backend = RedisBackend(redis_url)
    yield Broker(backend)
    backend.close()


def looks(broker: Broker, uuids: list[str], then: Exception | None = None) -> Iterator[Call]:
    for uuid in uuids:
        yield broker.verbs.renew(0, ["q"], [Held("q", uuid, "token")])
    if then is not None:
        raise then


def test_who_leaves_a_stream_in_the_middle_leaves_no_reply_behind(broker: Broker) -> None:
    links = broker.redis.links
    stream = links.stream(looks(broker, ["a", "b", "c", "d"]))
    next(stream)
    next(stream)

    stream.close()  # type: ignore[attr-defined]  # it is a generator

    broker.submit(Message("work", queue="q", uuid="mine"))
    assert links.command("ECHO", "mine") == b"mine"


def test_a_stream_whose_calls_fail_leaves_no_reply_behind(broker: Broker) -> None:
    links = broker.redis.links

    with pytest.raises(RuntimeError, match="no more"):
        list(links.stream(looks(broker, ["a", "b", "c"], RuntimeError("no more"))))

    assert links.command("ECHO", "mine") == b"mine"
