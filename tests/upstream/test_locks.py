"""§11: locks in a program's hands."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from alsek import Lock
from alsek.core.concurrency import ProcessLock, ThreadLock
from alsek.exceptions import AlsekError
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend


def test_parameters_are_attributes(backend: RedisBackend, namespace: str) -> None:
    lock = Lock("mine", backend)

    assert (lock.name, lock.backend, lock.ttl, lock.auto_release) == ("mine", backend, 3_600_000, True)
    assert (lock.owner_id, lock.full_name) == (f"lock:{socket.gethostname()}", f"{namespace}:mine")


def test_only_a_redis_backend_has_locks() -> None:
    with pytest.raises(NotImplementedError):
        Lock("mine", AsyncRedisBackend("redis://localhost:1"))  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"name": ""}, {"owner_id": ""}])
def test_an_empty_name_or_owner_is_a_value_error(wrong: dict[str, str], backend: RedisBackend) -> None:
    with pytest.raises(ValueError):
        Lock(**{"name": "mine", "backend": backend} | wrong)  # type: ignore[arg-type]


def test_a_lock_is_held_until_it_is_released(backend: RedisBackend) -> None:
    lock = Lock("mine", backend)

    assert lock.holder is None
    assert lock.acquire()
    assert (lock.holder, lock.held) == (lock.owner_id, True)
    assert lock.release()
    assert (lock.holder, lock.held) == (None, False)


def test_what_another_owner_holds_is_not_acquired(backend: RedisBackend) -> None:
    Lock("mine", backend, owner_id="other").acquire()

    assert not Lock("mine", backend).acquire()
    assert not Lock("mine", backend).acquire(wait=0)
    assert not Lock("mine", backend).release()


def test_acquiring_again_does_as_asked(backend: RedisBackend) -> None:
    lock = Lock("mine", backend)
    lock.acquire()

    with pytest.raises(AlsekError):
        lock.acquire()
    assert lock.acquire(if_already_acquired="return_true")
    assert not lock.acquire(if_already_acquired="return_false")
    with pytest.raises(ValueError):
        lock.acquire(if_already_acquired="shrug")  # type: ignore[arg-type]


def test_releasing_what_is_not_held_is_false_or_an_error(backend: RedisBackend) -> None:
    lock = Lock("mine", backend)

    assert not lock.release()
    with pytest.raises(AlsekError):
        lock.release(raise_if_not_acquired=True)


def test_waiting_is_counted_in_seconds(backend: RedisBackend) -> None:
    holder = Lock("mine", backend, owner_id="other")
    holder.acquire()
    threading.Timer(0.05, holder.release).start()

    started = time.monotonic()
    assert Lock("mine", backend).acquire(wait=5)
    assert time.monotonic() - started < 2


def test_the_ttl_is_counted_in_milliseconds(backend: RedisBackend) -> None:
    Lock("mine", backend, ttl=50, owner_id="other").acquire()

    assert Lock("mine", backend).acquire(wait=5)


def test_locks_of_one_host_are_one_owner(backend: RedisBackend) -> None:
    Lock("mine", backend).acquire()

    assert Lock("mine", backend).held
    assert Lock("mine", backend).release()


def test_a_with_block_does_not_acquire_and_releases(backend: RedisBackend) -> None:
    with Lock("mine", backend) as lock:
        assert not lock.held
        assert lock.acquire()
    assert not lock.held

    with Lock("mine", backend, auto_release=False) as lock:
        lock.acquire()
    assert lock.held


@pytest.mark.parametrize("kind", [ProcessLock, ThreadLock])
def test_process_and_thread_locks_take_no_owner(kind: type[Lock], backend: RedisBackend) -> None:
    with pytest.raises(TypeError):
        kind("mine", backend, owner_id="me")

    lock = kind("mine", backend)
    assert lock.acquire()
    assert lock.owner_id.startswith(f"lock:{socket.gethostname()}:")


def test_a_thread_lock_tells_threads_apart_and_a_process_lock_does_not(backend: RedisBackend) -> None:
    for kind in (ThreadLock, ProcessLock):
        kind(kind.__name__, backend).acquire()
    seen: list[bool] = []

    def look() -> None:
        seen.extend((ThreadLock("ThreadLock", backend).held, ProcessLock("ProcessLock", backend).held))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [False, True]
