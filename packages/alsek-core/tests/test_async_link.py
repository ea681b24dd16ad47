"""The verbs on asyncio: many callers share one connection, and nobody gets another's reply."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from hashlib import sha1
from typing import TYPE_CHECKING, Any

import pytest

from alsek.exceptions import (
    BackendAuthenticationError,
    BackendDataError,
    BackendFullError,
    BackendUnavailableError,
)
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.async_link import AsyncLink
from alsek.storage.backends.redis.link import Call
from alsek.storage.backends.redis.scripts import Script
from harness.eventually import eventually
from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import redis

    from harness.proxy import Proxy


def script(source: str) -> Script:
    return Script("test", source.encode(), sha1(source.encode(), usedforsecurity=False).hexdigest().encode())


ECHO = script("return ARGV[1]")
COUNT = script("if ARGV[1] == '1' then return 'repeated' end return redis.call('INCR', KEYS[1])")


def echo(value: Any) -> Call:
    return Call(ECHO, (), (value,))


def run(backend: RedisBackend, body: Callable[[AsyncLink], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await body(backend.async_link)

    return asyncio.run(main())


def test_every_caller_gets_its_own_reply(redis_url: str) -> None:
    async def body(link: AsyncLink) -> list[bytes]:
        return await asyncio.gather(*[link.execute(echo(i)) for i in range(1_000)])

    assert run(RedisBackend(redis_url), body) == [str(i).encode() for i in range(1_000)]


def test_calls_of_one_turn_leave_in_one_write(redis_url: str, server: Server) -> None:
    async def body(link: AsyncLink) -> int:
        await link.execute(echo(0))
        before = server.info("stats")["total_reads_processed"]
        await asyncio.gather(*[link.execute(echo(i)) for i in range(100)])
        return int(server.info("stats")["total_reads_processed"]) - int(before)

    assert run(RedisBackend(redis_url), body) < 10


def test_a_cancelled_caller_shifts_no_reply(redis_url: str) -> None:
    async def body(link: AsyncLink) -> list[Any]:
        tasks = [asyncio.create_task(link.execute(echo(i))) for i in range(300)]
        tasks[0].cancel()  # before it was sent
        await asyncio.sleep(0)
        for task in tasks[1::3]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    replies = run(RedisBackend(redis_url), body)

    for i, reply in enumerate(replies):
        assert isinstance(reply, asyncio.CancelledError) or reply == str(i).encode()
    assert sum(isinstance(reply, bytes) for reply in replies) >= 199


def test_a_script_that_redis_forgot_is_loaded_again(redis_url: str, redis_client: redis.Redis) -> None:
    async def body(link: AsyncLink) -> list[bytes]:
        await link.execute(echo(0))
        redis_client.script_flush()
        return await asyncio.gather(*[link.execute(echo(i)) for i in range(50)])

    assert run(RedisBackend(redis_url), body) == [str(i).encode() for i in range(50)]


def test_a_script_that_cannot_be_loaded_is_an_error_and_no_loop(redis_url: str) -> None:
    async def body(link: AsyncLink) -> None:
        await link.execute(Call(script("this is no Lua"), (), ()))

    with pytest.raises(BackendDataError):
        run(RedisBackend(redis_url), body)


def test_one_failing_call_leaves_its_neighbours_alone(redis_url: str) -> None:
    bad = Call(script("return redis.error_reply('WRONGTYPE of mine')"), (), ())

    async def body(link: AsyncLink) -> list[Any]:
        return await asyncio.gather(
            link.execute(echo(1)), link.execute(bad), link.execute(echo(2)), return_exceptions=True
        )

    first, failure, second = run(RedisBackend(redis_url), body)

    assert (first, second) == (b"1", b"2")
    assert isinstance(failure, BackendDataError)


def test_a_lost_reply_is_ambiguous_and_its_repeat_says_so(server: Server, proxy: Proxy) -> None:
    backend = RedisBackend(f"redis://127.0.0.1:{proxy.port}/0")
    call = Call(COUNT, ("counter",), ("0",), again=0)

    async def body(link: AsyncLink) -> tuple[Any, Any]:
        await link.execute(echo(0))
        await link.execute(call)
        proxy.blackhole("to_client")
        lost = asyncio.create_task(link.execute(call))
        held = asyncio.create_task(link.execute(call, patience=30))
        await asyncio.to_thread(eventually, lambda: server.client().get("counter") == b"3")
        proxy.reset_all()
        proxy.heal()
        return (await asyncio.gather(lost, held, return_exceptions=True))[0], await held

    failure, repeated = run(backend, body)

    assert isinstance(failure, BackendUnavailableError)
    assert failure.ambiguous
    assert repeated == b"repeated"


def test_a_refused_connection_is_not_ambiguous(proxy: Proxy) -> None:
    proxy.refuse()

    async def body(link: AsyncLink) -> None:
        await link.execute(echo(0))

    with pytest.raises(BackendUnavailableError) as caught:
        run(RedisBackend(f"redis://127.0.0.1:{proxy.port}/0"), body)
    assert not caught.value.ambiguous


def test_patience_outlasts_a_restart(server: Server) -> None:
    async def body(link: AsyncLink) -> list[bytes]:
        await link.execute(echo(0))
        server.kill()
        waiting = [asyncio.create_task(link.execute(echo(i), patience=30)) for i in range(20)]
        await asyncio.to_thread(server.start)
        return await asyncio.gather(*waiting)

    assert run(RedisBackend(server.url), body) == [str(i).encode() for i in range(20)]


def test_each_caller_gets_an_exception_of_its_own(proxy: Proxy) -> None:
    proxy.refuse()

    async def body(link: AsyncLink) -> list[Any]:
        return await asyncio.gather(*[link.execute(echo(i)) for i in range(3)], return_exceptions=True)

    failures = run(RedisBackend(f"redis://127.0.0.1:{proxy.port}/0"), body)

    assert len({id(failure) for failure in failures}) == 3
    assert all(isinstance(failure, BackendUnavailableError) for failure in failures)


def test_silence_ends_the_connection(server: Server) -> None:
    backend = RedisBackend(server.url)

    async def body() -> tuple[float, bool]:
        link = AsyncLink(backend.new_connection, silence_s=0.3)
        await link.execute(echo(0))
        await asyncio.sleep(0.29)  # idle time is no silence
        assert await link.execute(echo(1)) == b"1"
        began = time.monotonic()
        with server.paused(), pytest.raises(BackendUnavailableError) as caught:
            await link.execute(echo(2))
        took = time.monotonic() - began
        assert await link.execute(echo(3), patience=5) == b"3"
        return took, caught.value.ambiguous

    took, ambiguous = asyncio.run(body())

    assert 0.25 <= took < 3
    assert ambiguous


def test_a_full_redis_is_told(redis_url: str, server: Server) -> None:
    write = Call(script("#!lua\nreturn redis.call('SET', KEYS[1], '1')"), ("k",), ())

    async def body(link: AsyncLink) -> None:
        await link.execute(write)
        with server.configured({"maxmemory": "1mb"}):
            await link.execute(write)

    with pytest.raises(BackendFullError):
        run(RedisBackend(redis_url), body)


def test_too_many_clients_is_unavailable(redis_url: str, server: Server) -> None:
    async def body(link: AsyncLink) -> None:
        with server.configured({"maxclients": "1"}):
            await link.execute(echo(0))

    with pytest.raises(BackendUnavailableError):
        run(RedisBackend(redis_url), body)


def test_password_user_database_and_name_are_used(server: Server) -> None:
    admin = server.client()
    with Server(password="secret") as locked:
        locked.client().acl_setuser("ann", enabled=True, passwords=["+pass"], keys="*", commands=["+@all"])
        for credentials, user in ((":secret", b"default"), ("ann:pass", b"ann")):
            backend = RedisBackend(f"redis://{credentials}@127.0.0.1:{locked.port}/3?client_name=me")

            async def body(link: AsyncLink) -> tuple[Any, bytes]:
                return await link.command("ACL", "WHOAMI"), await link.command("CLIENT", "INFO")

            who, info = run(backend, body)

            assert who == user
            assert b" db=3 " in info
            assert b" name=me " in info
        with pytest.raises(BackendAuthenticationError):
            run(RedisBackend(f"redis://:wrong@127.0.0.1:{locked.port}/0"), lambda link: link.execute(echo(1)))
        with pytest.raises(BackendAuthenticationError):
            run(RedisBackend(f"redis://127.0.0.1:{locked.port}/0"), lambda link: link.execute(echo(1)))
    admin.close()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with Server(config={"unixsocket": str(path)}):
        assert run(RedisBackend(f"unix://{path}?db=1"), lambda link: link.execute(echo(1))) == b"1"


def test_links_belong_to_their_loop_and_leave_nothing_open(redis_url: str, server: Server) -> None:
    backend = RedisBackend(redis_url)
    before = server.newest_connection()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(3):
            assert run(backend, lambda link, i=i: link.execute(echo(i))) == str(i).encode()  # type: ignore[misc]
        gc.collect()

    server.wait_disconnected(before)


def test_large_replies_and_arguments_pass_whole(redis_url: str) -> None:
    big = [bytes([65 + i]) * 3_000_000 for i in range(5)]

    async def body(link: AsyncLink) -> list[bytes]:
        return await asyncio.gather(*[link.execute(echo(value)) for value in big])

    assert run(RedisBackend(redis_url), body) == big
