"""Small client programs that the sweep crashes."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness.journal import Journal


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=5)


def careless_submit(url: str, journal: str, uuid: str = "m1") -> None:
    """Two commands for one state change, as upstream does it (E15)."""
    client = _client(url)
    with Journal(journal).calling("submit", uuid, unknown=(redis.RedisError,)):
        client.set(f"message:{uuid}", "body")
        client.zadd("queue", {uuid: 1})


def careful_submit(url: str, journal: str, uuid: str = "m1") -> None:
    """One transaction, repeatable by uuid, repeated after a lost answer."""
    client = _client(url)
    with Journal(journal).calling("submit", uuid):
        for _ in range(3):
            try:
                client.eval(
                    "redis.call('SET', KEYS[1], ARGV[2]) return redis.call('ZADD', KEYS[2], 1, ARGV[1])",
                    2,
                    f"message:{uuid}",
                    "queue",
                    uuid,
                    "body",
                )
                return
            except redis.ConnectionError:
                continue


def hang(url: str, journal: str) -> None:
    """Wait for something that never comes."""
    client = redis.Redis.from_url(url, socket_timeout=None)
    client.set("a", "b")
    client.blpop(["never"], timeout=0)
