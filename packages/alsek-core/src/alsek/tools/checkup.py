"""The findings of `alsek doctor`: what about a Redis, its settings and its workers would hurt, and what to do about it.

Each check asks one question and gives one finding. Nothing is changed; what Redis does not let us ask is said so.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

from alsek.core.preflight import check_engine
from alsek.exceptions import AlsekError, BackendAuthenticationError, BackendConfigurationError
from alsek.storage.backends.redis.client import describe
from alsek.storage.backends.redis.rights import refused
from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from alsek.tools.facts import QueueInfo, WorkerInfo
    from alsek.tools.inspector import Inspector

Grade = Literal["ok", "warning", "error"]

#: Above this share of `maxmemory`, Redis is soon too full for new messages.
FULL: Final = 0.8

#: A clock that is off by more than this makes times in logs and dashboards misleading, ms. Alsek itself goes by Redis.
SKEW_MS: Final = 1_000

#: A round trip that takes longer than this limits every worker, ms.
SLOW_MS: Final = 5.0

#: A worker that has said nothing for longer than two beats of a usual lease is in trouble, ms.
SILENT_MS: Final = 25_000

_PINGS: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: Its name.
        grade: `ok`; `warning`: works, and something is to be done; `error`: messages are in danger, or nothing works.
        found: What is so.
        advice: What to do; empty if nothing.
    """

    check: str
    grade: Grade
    found: str
    advice: str = ""


def check_up(inspector: Inspector, version: str) -> Iterator[Finding]:
    """Ask everything, one finding after the other; ends early when Redis does not answer.

    Args:
        inspector: Of the namespace.
        version: Of Alsek, here.
    """
    backend = inspector.broker.redis
    try:
        facts = backend.server_info()
    except AlsekError as error:
        yield Finding("connection", "error", str(error), "check --url or ALSEK_REDIS_URL, the network and the password")
        return
    yield Finding("connection", "ok", "Redis answers")
    checks: tuple[Callable[[], Iterable[Finding]], ...] = (
        lambda: _engine(inspector, facts),
        lambda: _persistence(facts),
        lambda: _memory(facts),
        lambda: _latency(inspector),
        lambda: _clock(inspector),
        lambda: _scripts(inspector),
        lambda: _permissions(inspector),
        lambda: _queues(inspector.queues(), inspector.workers()),
        lambda: _workers(inspector.workers(), inspector.now_ms(), version),
    )
    names = ("engine", "persistence", "memory", "latency", "clock", "scripts", "permissions", "queues", "workers")
    for name, check in zip(names, checks, strict=True):
        try:
            yield from check()
        except AlsekError as error:
            # To see who else works here is more than some roles need.
            blind = name in ("queues", "workers") and isinstance(error, BackendAuthenticationError)
            yield Finding(name, "warning" if blind else "error", str(error), "`alsek acl` prints what each role needs")


def _engine(inspector: Inspector, facts: Mapping[str, str]) -> Iterator[Finding]:
    kind = "Valkey" if "valkey_version" in facts else "Redis"
    number = facts.get("valkey_version") or facts.get("redis_version", "?")
    try:
        check_engine(inspector.broker)
    except BackendConfigurationError as error:
        check = "eviction" if "maxmemory-policy" in str(error) else "version"
        yield Finding(check, "error", f"{kind} {number}: {error}", "workers refuse to start until that is changed")
        return
    yield Finding("version", "ok", f"{kind} {number}")
    yield Finding("eviction", "ok", "maxmemory-policy is noeviction")


def _persistence(facts: Mapping[str, str]) -> Iterator[Finding]:
    if facts.get("loading", "0") != "0":
        yield Finding("persistence", "error", "Redis is still loading its data", "wait until it has")
        return
    broken = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if facts.get(name, "ok") != "ok"
    ]
    if broken:
        found = f"Redis cannot write its data to disk ({', '.join(broken)})"
        yield Finding("persistence", "error", found, "look for a full disk, or for permissions, in the log of Redis")
    elif facts.get("aof_enabled") == "1":
        yield Finding("persistence", "ok", "AOF is on: with everysec, a power cut costs about the last second")
    else:
        yield Finding(
            "persistence", "warning", "AOF is off: a crash of Redis costs everything since its last snapshot",
            "CONFIG SET appendonly yes, and in redis.conf: appendonly yes, appendfsync everysec",
        )  # fmt: skip


def _memory(facts: Mapping[str, str]) -> Iterator[Finding]:
    used, most = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    text = f"{used / 2**20:,.0f} MiB used"
    if not most:
        total = int(facts.get("total_system_memory", 0))
        yield Finding(
            "memory", "warning" if total and used > FULL * total else "ok", f"{text}, without a limit",
            "set maxmemory below what the machine has, so that Redis refuses messages before it is killed",
        )  # fmt: skip
        return
    share = used / most
    text = f"{text} of {most / 2**20:,.0f} ({share:.0%})"
    if share > FULL:
        yield Finding("memory", "warning", text, "raise maxmemory, or drain: when it is full, no message is accepted")
    else:
        yield Finding("memory", "ok", text)
    if int(facts.get("evicted_keys", 0)):
        yield Finding(
            "evicted keys", "error", f"Redis has thrown away {int(facts['evicted_keys']):,} keys since its start",
            "messages may be lost: `alsek fsck` tells; set maxmemory-policy noeviction",
        )  # fmt: skip


def _latency(inspector: Inspector) -> Iterator[Finding]:
    times = []
    for _ in range(_PINGS):
        began = time.perf_counter()
        inspector.now_ms()
        times.append((time.perf_counter() - began) * 1000)
    found = f"{median(times):.2f} ms for a round trip, {max(times):.2f} ms at worst of {_PINGS}"
    if median(times) > SLOW_MS:
        yield Finding(
            "latency", "warning", found, "bring programs and Redis nearer together, or look who keeps it busy"
        )
    else:
        yield Finding("latency", "ok", found)


def _clock(inspector: Inspector) -> Iterator[Finding]:
    before = time.time() * 1000
    there = inspector.now_ms()
    after = time.time() * 1000
    skew = max(before - there, there - after, 0.0)
    if skew > SKEW_MS:
        yield Finding(
            "clock", "warning", f"the clock here and that of Redis are {skew / 1000:,.1f} s apart",
            "synchronise both (NTP): Alsek goes by the clock of Redis, logs and dashboards by others",
        )  # fmt: skip
    else:
        yield Finding("clock", "ok", "the clock here and that of Redis agree within a second")


def _scripts(inspector: Inspector) -> Iterator[Finding]:
    # Loading is what a worker does first; scripts are addressed by their content, so this changes nothing.
    inspector.broker.redis.links.command("SCRIPT", "LOAD", script("claim").source)
    yield Finding("scripts", "ok", "scripts can be loaded")


def _permissions(inspector: Inspector) -> Iterator[Finding]:
    backend = inspector.broker.redis
    user = describe(backend.source)["connection"].get("username") or "default"
    tag = backend.keys.tag(0)
    key = backend.keys.record("00000000-0000-7000-8000-000000000000")
    probes = (
        ("HSET", key, "s", "r"), ("ZADD", key, "0", "x"), ("DEL", key), ("PUBLISH", key, "x"),
        ("SCRIPT", "LOAD", "x"),
    )  # fmt: skip
    missing = refused(backend, key, probes)
    if missing:
        yield Finding(
            "permissions", "warning", f"user {user} may not use {', '.join(missing)} on {tag}*",
            "enough to look; a worker or a producer needs more: `alsek acl` prints what",
        )  # fmt: skip
    else:
        yield Finding("permissions", "ok", f"user {user} may read and write {tag}*")


def _queues(queues: list[QueueInfo], workers: list[WorkerInfo]) -> Iterator[Finding]:
    lonely = [
        queue.name
        for queue in queues
        if queue.ready + queue.delayed and not any(worker.listens_to(queue.name) for worker in workers)
    ]
    for name in lonely:
        yield Finding("queues", "warning", f"no worker listens to {name}, and messages wait there", "start one for it")
    for queue in queues:
        if queue.paused is not None:
            found = f"{queue.name} is paused{': ' + queue.paused.reason if queue.paused.reason else ''}"
            yield Finding("queues", "warning", found, f"`alsek resume {queue.name}` lets it go on")
        if queue.dead:
            found = f"{queue.name} has {_counted(queue.dead, 'dead letter')}"
            yield Finding("queues", "warning", found, f"`alsek dlq list {queue.name}` tells why")
    if not lonely:
        yield Finding("queues", "ok", f"{_counted(len(queues), 'queue')}: a worker listens wherever something waits")


def _workers(workers: list[WorkerInfo], now_ms: int, version: str) -> Iterator[Finding]:
    silent = [worker for worker in workers if now_ms - worker.last_beat > SILENT_MS]
    other = sorted({worker.version for worker in workers} - {version})
    for worker in silent:
        found = f"worker {worker.id} on {worker.host} has been silent for {(now_ms - worker.last_beat) / 1000:,.0f} s"
        yield Finding("workers", "warning", found, "look at its log and its machine; its messages start elsewhere")
    if other:
        found = f"workers of Alsek {', '.join(other)} beside {version} here"
        yield Finding("workers", "warning", found, "neighbouring releases run side by side: finish the upgrade soon")
    if not silent and not other:
        slots = sum(worker.slots for worker in workers)
        found = f"{_counted(len(workers), 'worker')} with {_counted(slots, 'slot')}, all of this release"
        yield Finding("workers", "ok", found)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
