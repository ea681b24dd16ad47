"""The verb by which messages come in by HTTP: like `submit`, with tickets and answers that are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.defaults import DEFAULT_TTL
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.acceptance import Acceptance, Arrival, Once

if TYPE_CHECKING:
    import redis

KEPT_MS = 60_000


@pytest.fixture
def broker(redis_url: str) -> Broker:
    return Broker(RedisBackend(redis_url))


def arrival(broker: Broker, message: Message) -> Arrival:
    new = broker.new_message(message, DEFAULT_TTL, KEPT_MS)
    return Arrival(*new, 90_000, ((message.uuid, f"{message.queue} {message.task_name}"),))


def accept(broker: Broker, messages: list[Message], once: Once | None = None) -> Any:
    acceptance = Acceptance(broker.keys, broker)
    arrivals = [arrival(broker, message) for message in messages]
    call = acceptance.submit(0, "q", arrivals) if once is None else acceptance.once(0, "q", arrivals[0], once)
    return broker.redis.links.execute([call])[0]


def contents(client: redis.Redis, namespace: str) -> dict[str, Any]:
    """All that is stored, without what differs from one moment to the next."""
    found: dict[str, Any] = {}
    for raw in client.keys("*"):
        key = raw.decode().replace(f"{{{namespace}:0}}:", "")
        kind = client.type(raw)
        if key.startswith("n:"):  # counts of a minute that may be the next one by now
            found["counts"] = {field.lstrip(b"0123456789"): value for field, value in client.hgetall(raw).items()}
        elif kind == b"hash":
            found[key] = {field: value for field, value in client.hgetall(raw).items() if field != b"x"}
        elif kind == b"zset":
            found[key] = client.zrange(raw, 0, -1)
        else:
            found[key] = client.get(raw) if kind == b"string" else client.type(raw)
    return found


@pytest.mark.parametrize("fields", [{}, {"priority": 3}, {"delay": 5_000}, {"kwargs": {"a": [1]}}])
def test_what_is_accepted_stands_as_what_is_submitted(
    broker: Broker, redis_client: redis.Redis, fields: dict[str, Any]
) -> None:
    messages = [Message("t", queue="q", **fields) for _ in range(3)]
    for message in messages:
        broker.submit(message, kept_status_ms=KEPT_MS)
    submitted = contents(redis_client, "alsek")
    redis_client.flushall()

    codes = accept(broker, messages)

    accepted = contents(redis_client, "alsek")
    tickets = {key: accepted.pop(key) for key in list(accepted) if key.startswith("ticket:")}
    assert codes == [1, 1, 1]
    assert accepted == submitted
    assert tickets == {f"ticket:{message.uuid}": b"q t" for message in messages}
    assert all(0 < redis_client.pttl(broker.keys.ticket(message.uuid)) <= 90_000 for message in messages)


def test_a_lost_reply_is_repeated_without_harm(broker: Broker, redis_client: redis.Redis) -> None:
    message = Message("t", queue="q")
    call = Acceptance(broker.keys, broker).submit(0, "q", [arrival(broker, message)])
    assert broker.redis.links.execute([call])[0] == [1]

    assert broker.redis.links.execute([call.repeated()])[0] == [2]
    assert broker.redis.links.execute([call])[0] == [0]
    assert redis_client.zcard(broker.keys.ready("q", 0)) == 1


def test_a_request_is_carried_out_once(broker: Broker, redis_client: redis.Redis) -> None:
    first, second = Message("t", queue="q"), Message("t", queue="q")
    once = Once("digest", "asked", "answer", 5_000)

    assert accept(broker, [first], once) == [1]
    assert accept(broker, [second], once._replace(answer="another")) == [3, b"answer"]
    assert accept(broker, [second], once._replace(asked="something else")) == [-4]
    assert redis_client.zcard(broker.keys.ready("q", 0)) == 1
    assert 0 < redis_client.pttl(broker.keys.idempotency("digest")) <= 5_000


def test_a_request_of_several_steps_belongs_to_one_at_a_time(broker: Broker, redis_client: redis.Redis) -> None:
    acceptance = Acceptance(broker.keys, broker)
    once = Once("digest", "asked", "", 60_000)

    def reserve(seed: str, asked: str = "asked") -> Any:
        return broker.redis.links.execute([acceptance.reserve(once._replace(asked=asked), seed, 30_000)])[0]

    assert reserve("one") == [1, b"one"]
    busy = reserve("two")
    assert busy[0] == 0
    assert 0 < busy[1] <= 30_000
    assert reserve("two", "something else") == [-4]
    redis_client.hdel(broker.keys.idempotency("digest"), "busy")
    assert reserve("two") == [1, b"one"]
    redis_client.hset(broker.keys.idempotency("digest"), "answer", "done")
    assert reserve("two") == [3, b"done"]


def test_a_full_redis_refuses_whole_and_remembers_nothing(
    broker: Broker, server: Any, redis_client: redis.Redis
) -> None:
    from alsek.exceptions import BackendFullError

    server.config_set("maxmemory", 1)

    with pytest.raises(BackendFullError):
        accept(broker, [Message("t", queue="q")], Once("digest", "asked", "answer", 5_000))

    server.config_set("maxmemory", 0)
    assert redis_client.keys("*") == []
