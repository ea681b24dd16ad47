"""A client that nobody needs is never made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import redis.asyncio

from alsek.storage.backends.lazy import LazyClient
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend

BACKENDS = [(RedisBackend, redis.Redis), (AsyncRedisBackend, redis.asyncio.Redis)]


def test_get_calls_the_function_each_time() -> None:
    made = iter(["one", "two"])

    lazy = LazyClient(lambda: next(made))

    assert [lazy.get(), lazy.get()] == ["one", "two"]


@pytest.mark.parametrize(("backend_class", "client_class"), BACKENDS)
def test_a_backend_makes_its_client_once_and_only_when_it_needs_one(backend_class: Any, client_class: Any) -> None:
    calls: list[int] = []

    def make() -> Any:
        calls.append(1)
        return client_class(host="nowhere.invalid")

    backend = backend_class(LazyClient(make))
    assert not calls

    assert backend.conn is backend.conn
    assert len(calls) == 1


@pytest.mark.parametrize(("backend_class", "client_class"), BACKENDS)
def test_a_function_may_give_an_address(backend_class: Any, client_class: Any) -> None:
    backend = backend_class(LazyClient(lambda: "redis://somewhere:1234/5"))

    assert isinstance(backend.conn, client_class)
    assert backend.conn.connection_pool.connection_kwargs["port"] == 1234


@pytest.mark.parametrize("backend_class", [RedisBackend, AsyncRedisBackend])
def test_a_function_that_gives_no_client_is_a_value_error_at_first_use(backend_class: Any) -> None:
    backend = backend_class(LazyClient(lambda: 7))

    with pytest.raises(ValueError):
        _ = backend.conn


def test_threads_that_start_together_get_one_client() -> None:
    calls: list[int] = []
    together = threading.Barrier(8)

    def make() -> redis.Redis:
        calls.append(1)
        return redis.Redis()

    backend = RedisBackend(LazyClient(make))

    def first_use(_: int) -> int:
        together.wait()
        return id(backend.conn)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first_use, range(8)))) == 1
    assert len(calls) == 1
