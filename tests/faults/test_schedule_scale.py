"""S5: very many schedules, and a great part of them due in one second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.schedules.template import fire_uuid
from alsek.core.triggers import DateTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek.storage.backends.redis.link import Call
    from harness.server import Server

#: When the idle schedules would fire, from now: long after the test.
FAR_MS = 86_400_000


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_tick_costs_what_is_due_not_what_there_is(server: Server) -> None:
    total, due = chaos_size(4_000, 100_000), chaos_size(400, 10_000)
    broker = Broker(RedisBackend(server.url, partitions=4))
    store = ScheduleStore(broker)
    seconds, _ = broker.redis.links.command("TIME")
    # Far enough away that all are made by then; spread over one second.
    start_ms = int(seconds) * 1000 + 5_000 + total // 2
    pattern = store.create(
        "pattern", "work", DateTrigger(start_ms + FAR_MS), policy=FirePolicy("all"), queue="q", paused=True
    )
    fields = dict(zip(*[iter(broker.redis.links.command("HGETALL", broker.keys.schedule("pattern")))] * 2, strict=True))
    body, anchor = fields[b"b"], fields[b"a"]

    def calls() -> Iterator[Call]:
        for i in range(total):
            when = start_ms + i * 1000 // due if i < due else start_ms + FAR_MS
            name = f"s{i:06}"
            text = fields[b"d"].replace(str(start_ms + FAR_MS).encode(), str(when).encode())
            uuid = fire_uuid(broker.keys, name, when)
            yield store.verbs.put(name, 0, "made", "a", when, {"d": text, "b": body, "a": anchor, "f": uuid, "r": ""})

    began = time.monotonic()
    for _ in broker.redis.links.stream(calls(), patience=5):
        pass
    made_s = time.monotonic() - began
    server.config_set("slowlog-log-slower-than", 5_000)
    client = server.client()
    client.slowlog_reset()

    with Scheduler(broker, settings=Settings(lease_ms=10_000)) as scheduler:
        eventually(lambda: scheduler.ledger.fires >= due, 120, interval=0.05)
        eventually(lambda: store.counts().ended == due, 60, interval=0.05)

    lags: list[int] = []
    for partition in range(4):
        for raw in broker.redis.links.command("ZRANGE", broker.keys.ready("q", partition), 0, -1, "WITHSCORES")[::2]:
            message = broker.find(raw.decode())
            assert message is not None
            lags.append(message.created_at)
    slow = [entry for entry in client.slowlog_get(128) if b"EVALSHA" in bytes(entry["command"])]
    counts = scheduler.ledger.lag_counts
    told = scheduler.ledger.lag_sum_s / max(1, scheduler.ledger.fires)
    assert len(lags) == len(set(lags)) or due > 1000
    assert len(lags) == due == scheduler.ledger.fires
    assert store.counts().active == total - due
    assert pattern.state == "paused"
    print(
        f"S5 {total:,} schedules (made in {made_s:.1f} s), {due:,} due in one second: mean lag {told * 1000:.1f} ms, "
        f"late by up to {_bound(counts, 0.99)} s for 99 %, scripts over 5 ms: {len(slow)}",
        flush=True,
    )
    client.close()
    broker.backend.close()


def _bound(counts: list[int], share: float) -> str:
    """The upper bound of the bucket in which this share of all lags has come."""
    from alsek_scheduler.ledger import LAG_BOUNDS_S

    wanted, seen = share * sum(counts), 0
    for bound, count in zip([*map(str, LAG_BOUNDS_S), "inf"], counts, strict=True):
        seen += count
        if seen >= wanted:
            return bound
    return "inf"
