"""Locks: who holds one, for how long, and who is woken when it becomes free."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core import concurrency
from alsek.core.concurrency import Lock, ProcessLock, ThreadLock
from alsek.core.message import Message
from alsek.exceptions import AlsekError, LockAlreadyAcquiredError, LockNotAcquiredError
from alsek.storage.backends.abstract import Backend
from alsek.storage.backends.redis import AsyncRedisBackend, RedisBackend
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

    from harness.server import Server


@pytest.fixture
def backend(redis_url: str, namespace: str) -> Iterator[RedisBackend]:
    backend = RedisBackend(redis_url, namespace)
    yield backend
    backend.close()


@pytest.fixture
def other(backend: RedisBackend) -> Lock:
    """The same lock as seen by another host."""
    return Lock("door", backend, owner_id="lock:elsewhere")


@pytest.fixture
def lock(backend: RedisBackend) -> Lock:
    return Lock("door", backend)


def in_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()


def in_child(call: Callable[[], bool]) -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if call() else 1)
    return os.waitpid(pid, 0)[1] == 0


def test_one_owner_holds_a_lock_until_it_is_released(lock: Lock, other: Lock) -> None:
    assert lock.holder is None
    assert not lock.held

    assert lock.acquire()

    assert lock.held
    assert lock.holder == other.holder == lock.owner_id
    assert not other.held
    assert not other.acquire()
    assert not other.release()
    assert lock.release()
    assert lock.holder is None
    assert other.acquire()


def test_the_same_host_is_the_same_owner(backend: RedisBackend, lock: Lock) -> None:
    twin = Lock("door", backend)
    lock.acquire()

    assert twin.held
    assert twin.release()
    assert not lock.held


def test_attributes_and_names(backend: RedisBackend, namespace: str, redis_client: redis.Redis) -> None:
    lock = Lock("door", backend, ttl=1234, auto_release=False, owner_id="me")

    assert (lock.name, lock.backend, lock.ttl, lock.auto_release, lock.owner_id) == ("door", backend, 1234, False, "me")
    assert lock.full_name == f"{namespace}:door"
    assert Lock("door", backend).owner_id == concurrency.CURRENT_HOST_OWNER_ID
    assert "door" in repr(lock)
    lock.acquire()
    lock.release()
    assert redis_client.keys()
    assert all(key.startswith(namespace.encode()) for key in redis_client.scan_iter())


def test_a_complete_name_is_the_same_lock(backend: RedisBackend, lock: Lock) -> None:
    lock.acquire()

    assert Lock(lock.full_name, backend).held


def test_clearing_the_namespace_frees_locks_and_leaves_nothing(
    backend: RedisBackend, lock: Lock, redis_client: redis.Redis
) -> None:
    lock.acquire()
    Lock("window", backend).acquire()
    Lock("window", backend).release()

    backend.clear_namespace()

    assert not lock.held
    assert redis_client.keys() == []


def test_wrong_arguments_are_refused_at_once(backend: RedisBackend, redis_url: str) -> None:
    class Other(Backend):
        exists = set = get = delete = priority_add = priority_get = priority_remove = scan = None  # type: ignore[assignment]

    with pytest.raises(NotImplementedError):
        Lock("door", Other())
    with pytest.raises(NotImplementedError):
        Lock("door", AsyncRedisBackend(redis_url))  # type: ignore[arg-type]
    for name in ("", None, 7):
        with pytest.raises(ValueError):
            Lock(name, backend)  # type: ignore[arg-type]
    for owner in ("", None):
        with pytest.raises(ValueError):
            Lock("door", backend, owner_id=owner)  # type: ignore[arg-type]
    for ttl in (0, -1, 1.5, None, True):
        with pytest.raises(ValueError):
            Lock("door", backend, ttl=ttl)  # type: ignore[arg-type]


def test_acquiring_twice_does_as_asked(lock: Lock) -> None:
    lock.acquire()

    with pytest.raises(LockAlreadyAcquiredError) as caught:
        lock.acquire()
    assert caught.value.name == "door"
    assert caught.value.owner_id == lock.owner_id
    assert lock.acquire(if_already_acquired="return_true") is True
    assert lock.acquire(if_already_acquired="return_false") is False
    with pytest.raises(ValueError):
        lock.acquire(if_already_acquired="whatever")  # type: ignore[arg-type]
    assert lock.held


def test_releasing_what_is_not_held(lock: Lock, other: Lock) -> None:
    other.acquire()

    assert lock.release() is False
    with pytest.raises(LockNotAcquiredError):
        lock.release(raise_if_not_acquired=True)
    assert other.held


def test_a_with_block_releases_but_does_not_acquire(backend: RedisBackend) -> None:
    with Lock("door", backend) as lock:
        assert not lock.held
        lock.acquire()
    assert not lock.held

    with Lock("door", backend, auto_release=False) as kept:
        kept.acquire()
    assert kept.held

    with pytest.raises(ZeroDivisionError), Lock("window", backend) as broken:
        broken.acquire()
        raise ZeroDivisionError
    assert not broken.held


@pytest.mark.parametrize("ttl", [50, 499, 1499])
def test_a_ttl_is_exact_to_the_millisecond(backend: RedisBackend, redis_client: redis.Redis, ttl: int) -> None:
    lock = Lock("door", backend, ttl=ttl)

    lock.acquire()

    (key,) = (key for key in redis_client.scan_iter() if b":lock:door" in key and b"{" not in key)
    assert ttl - 45 <= redis_client.pttl(key) <= ttl


@pytest.mark.parametrize("wait", [None, 0, 0.0])
def test_no_wait_does_not_block(lock: Lock, other: Lock, wait: float | None) -> None:
    other.acquire()
    began = time.monotonic()

    assert not lock.acquire(wait)

    assert time.monotonic() - began < 0.2


def test_a_wait_ends_after_its_fraction_of_a_second(lock: Lock, other: Lock) -> None:
    other.acquire()
    began = time.monotonic()

    assert not lock.acquire(wait=0.3)

    assert 0.29 <= time.monotonic() - began < 1.0


def test_a_wait_may_be_longer_than_the_ttl(backend: RedisBackend) -> None:
    assert Lock("door", backend, ttl=100).acquire(wait=60)


def test_a_release_wakes_a_waiter_at_once(lock: Lock, other: Lock, redis_client: redis.Redis) -> None:
    other.acquire()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lock.acquire, 30)
        until_blocked(redis_client, 1)
        released = time.monotonic()
        other.release()

        assert waiting.result(timeout=10)

    assert time.monotonic() - released < 0.5
    assert lock.held


def test_the_end_of_the_others_ttl_wakes_a_waiter(backend: RedisBackend, lock: Lock) -> None:
    Lock("door", backend, ttl=300, owner_id="elsewhere").acquire()
    began = time.monotonic()

    assert lock.acquire(wait=30)

    assert 0.25 <= time.monotonic() - began < 1.0


def test_every_waiter_gets_its_turn(backend: RedisBackend, other: Lock, redis_client: redis.Redis) -> None:
    inside: list[int] = []

    def visit() -> None:
        lock = ThreadLock("door", backend)
        assert lock.acquire(wait=30)
        inside.append(1)
        assert len(inside) == 1
        inside.pop()
        assert lock.release()

    other.acquire()
    with ThreadPoolExecutor(8) as pool:
        visits = [pool.submit(visit) for _ in range(8)]
        until_blocked(redis_client, 8)
        other.release()
        for done in visits:
            done.result(timeout=20)

    assert lock_is_free(backend)


def test_a_wake_up_that_died_with_its_receiver_delays_the_others_only_a_little(
    lock: Lock, other: Lock, redis_client: redis.Redis, namespace: str
) -> None:
    other.acquire()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lock.acquire, 30)
        until_blocked(redis_client, 1)
        redis_client.delete(f"{namespace}:lock:door")  # as if released, and another waiter had taken the signal away

        assert waiting.result(timeout=10)


def test_the_fence_grows_with_every_acquisition(backend: RedisBackend, lock: Lock, other: Lock) -> None:
    assert lock.fence is None
    fences = []
    for holder in (lock, other, lock):
        holder.acquire()
        assert holder.fence is not None
        fences.append(holder.fence)
        holder.release()

    assert fences == sorted(set(fences))
    assert lock.fence is None


def test_the_fence_grows_even_when_its_counter_is_forgotten(
    lock: Lock, redis_client: redis.Redis, namespace: str
) -> None:
    lock.acquire()
    before = lock.fence
    lock.release()
    redis_client.flushall()

    lock.acquire()

    assert before is not None
    assert lock.fence is not None
    assert lock.fence > before


def test_a_holder_that_asks_again_learns_its_fence(backend: RedisBackend, lock: Lock) -> None:
    lock.acquire()
    twin = Lock("door", backend)

    twin.acquire(if_already_acquired="return_true")

    assert twin.fence == lock.fence


def test_renewing_gives_the_whole_ttl_again(backend: RedisBackend, redis_client: redis.Redis, namespace: str) -> None:
    lock = Lock("door", backend, ttl=60_000)
    assert lock.renew() is False
    lock.acquire()
    redis_client.pexpire(f"{namespace}:lock:door", 1_000)

    assert lock.renew() is True

    assert redis_client.pttl(f"{namespace}:lock:door") > 55_000


def test_a_lock_renews_itself_only_on_request(backend: RedisBackend, other: Lock) -> None:
    lock = Lock("door", backend, ttl=150, auto_renew=True)
    lock.acquire()

    assert not other.acquire(wait=0.6)
    assert lock.held
    assert lock.release()
    assert other.acquire()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("alsek-renew")]


def test_a_renewal_ends_when_the_lock_was_lost(
    backend: RedisBackend, redis_client: redis.Redis, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    lock = Lock("door", backend, ttl=150, auto_renew=True)
    lock.acquire()
    (renewal,) = (thread for thread in threading.enumerate() if thread.name.startswith("alsek-renew"))

    redis_client.set(f"{namespace}:lock:door", "thief")
    renewal.join(timeout=10)

    assert not renewal.is_alive()
    assert "lost" in caplog.text
    assert lock.release() is False
    assert redis_client.get(f"{namespace}:lock:door") == b"thief"


# From Python 3.12 on; the child of these tests uses nothing that another thread could hold.
fork_is_fine = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@fork_is_fine
def test_process_locks_tell_processes_apart(backend: RedisBackend) -> None:
    lock = ProcessLock("door", backend)
    lock.acquire()

    def child() -> bool:
        mine = ProcessLock("door", backend)
        return not (lock.held or lock.release() or mine.held or mine.acquire() or mine.release())

    assert in_thread(lambda: ProcessLock("door", backend).held)
    assert in_child(child)
    assert lock.held


@fork_is_fine
def test_a_lock_made_before_a_fork_belongs_to_the_child_that_acquires_it(backend: RedisBackend) -> None:
    lock = ProcessLock("door", backend)
    parents = lock.owner_id

    def child() -> bool:
        return lock.owner_id != parents and lock.acquire() and lock.held and lock.holder == lock.owner_id

    assert in_child(child)
    assert not lock.held
    assert lock.holder != parents


def test_thread_locks_tell_threads_apart(backend: RedisBackend) -> None:
    lock = ThreadLock("door", backend)
    lock.acquire()

    assert lock.held
    assert not in_thread(lambda: lock.held)
    assert not in_thread(lock.acquire)
    assert not in_thread(lock.release)
    assert lock.release()


def test_a_later_thread_with_the_same_ident_is_another_owner(backend: RedisBackend) -> None:
    lock = ThreadLock("door", backend)

    owners = {in_thread(lambda: lock.owner_id) for _ in range(5)}

    assert len(owners) == 5


def test_equal_pids_on_hosts_of_the_same_name_are_different_owners(
    backend: RedisBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ProcessLock("door", backend).owner_id

    monkeypatch.setattr(concurrency, "_births", {})  # as another container with this pid finds it

    assert ProcessLock("door", backend).owner_id != here
    assert str(os.getpid()) in here


def test_errors_are_those_of_python_redis_lock_where_it_is_installed(
    lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = types.ModuleType("redis_lock")
    theirs.AlreadyAcquired = type("AlreadyAcquired", (RuntimeError,), {})  # type: ignore[attr-defined]
    theirs.NotAcquired = type("NotAcquired", (RuntimeError,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "redis_lock", theirs)
    concurrency._compatible.cache_clear()
    try:
        with pytest.raises(theirs.NotAcquired) as missing:  # type: ignore[attr-defined]
            lock.release(raise_if_not_acquired=True)
        lock.acquire()
        with pytest.raises(theirs.AlreadyAcquired) as present:  # type: ignore[attr-defined]
            lock.acquire()
    finally:
        concurrency._compatible.cache_clear()

    assert isinstance(missing.value, LockNotAcquiredError)
    assert isinstance(present.value, LockAlreadyAcquiredError)
    assert isinstance(present.value, AlsekError)
    assert present.value.name == "door"


def test_importing_locks_does_not_import_python_redis_lock() -> None:
    importlib.import_module("alsek.core.concurrency")

    assert "redis_lock" not in sys.modules


def test_a_lost_reply_does_not_make_an_acquisition_look_like_an_earlier_one(
    lock: Lock, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = lock.backend.links
    execute = links.execute
    lose_first_reply(monkeypatch, links, execute)

    assert lock.acquire() is True

    lose_first_reply(monkeypatch, links, execute)
    assert lock.release() is True


def test_a_message_releases_the_lock_it_is_linked_with(backend: RedisBackend, lock: Lock) -> None:
    lock.acquire()
    message = Message("task").link_lock(lock)

    assert message.release_lock(not_linked_ok=False, target_backend=backend)

    assert not lock.held


def test_a_full_redis_still_releases(lock: Lock, server: Server, redis_client: redis.Redis) -> None:
    lock.acquire()
    redis_client.config_set("maxmemory", "1mb")
    try:
        assert lock.renew()
        assert lock.release()
    finally:
        redis_client.config_set("maxmemory", "0")


def lose_first_reply(monkeypatch: pytest.MonkeyPatch, links: object, execute: Callable[..., list[object]]) -> None:
    def twice(calls: list[object], **options: float) -> list[object]:
        execute(calls, **options)
        return execute([call.repeated() for call in calls], **options)  # type: ignore[attr-defined]

    monkeypatch.setattr(links, "execute", twice)


def lock_is_free(backend: RedisBackend) -> bool:
    return Lock("door", backend).holder is None


def until_blocked(client: redis.Redis, count: int) -> None:
    eventually(lambda: int(client.info("clients")["blocked_clients"]) >= count, what=f"{count} waiters blocked")
