"""S5: very many schedules, and a great part of them due in one second."""

from __future__ import annotations

import threading
import time
from statistics import median, quantiles
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.ids import made_at
from alsek.core.message import Message
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.schedules.template import fire_uuid
from alsek.core.triggers import DateTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.keys import EPOCH_MS
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from harness.eventually import eventually
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.storage.backends.redis.link import Call
    from harness.server import Server

PARTITIONS = 4

#: When the idle schedules would fire, from now: long after the test.
FAR_MS = 86_400_000


#: From now until the due ones are due: long enough to make them, with so much on top for each.
AHEAD_MS, EACH_MS = 4_000, 2


class Bystander(threading.Thread):
    """Submits a message now and then, as the HTTP API does, and notes how long that takes."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._broker = Broker(RedisBackend(url, partitions=PARTITIONS))
        self._stopping = threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        while not self._stopping.wait(0.005):
            began = time.perf_counter()
            self._broker.submit(Message("aside", queue="aside"))
            self.took_ms.append((time.perf_counter() - began) * 1000)

    def stop(self) -> float:
        """End it; gives the 99th percentile, ms."""
        self._stopping.set()
        self.join(60)
        self._broker.backend.close()
        return quantiles(self.took_ms, n=100)[98] if len(self.took_ms) > 1 else 0.0


class Maker:
    """Makes schedules of dates as `create` does, many in flight."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store, self._links = store, store.broker.redis.links
        self._pattern_ms = self.now_ms() + FAR_MS
        trigger = DateTrigger(self._pattern_ms)
        store.create("pattern", "work", trigger, policy=FirePolicy("all"), queue="q", paused=True)
        raw = self._links.command("HGETALL", store.keys.schedule("pattern"))
        self._fields = dict(zip(raw[::2], raw[1::2], strict=True))

    def now_ms(self) -> int:
        """Redis' time."""
        seconds, micros = self._links.command("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def make(self, prefix: str, instants: Sequence[int]) -> None:
        """Make a schedule for each instant."""
        for _ in self._links.stream((self._call(f"{prefix}{i:06}", one) for i, one in enumerate(instants)), patience=5):
            pass

    def _call(self, name: str, instant: int) -> Call:
        keys, fields = self._store.keys, self._fields
        text = fields[b"d"].replace(str(self._pattern_ms).encode(), str(instant).encode())
        told = {"d": text, "b": fields[b"b"], "a": fields[b"a"], "f": fire_uuid(keys, name, instant), "r": ""}
        return self._store.verbs.put(name, 0, "made", "a", instant, told)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_tick_costs_what_is_due_not_what_there_is(server: Server) -> None:
    total, due = chaos_size(4_000, 100_000), chaos_size(400, 10_000)
    broker = Broker(RedisBackend(server.url, partitions=PARTITIONS))
    store = ScheduleStore(broker)
    maker = Maker(store)
    began = time.monotonic()
    maker.make("far", [maker.now_ms() + FAR_MS] * (total - due))
    start_ms = maker.now_ms() + AHEAD_MS + EACH_MS * due
    maker.make("due", [start_ms + i * 1000 // due for i in range(due)])
    made_s = time.monotonic() - began
    usual, meanwhile = Bystander(server.url), Bystander(server.url)
    client = server.client()

    with Scheduler(broker, settings=Settings(lease_ms=10_000)) as scheduler:
        usual.start()
        eventually(lambda: maker.now_ms() >= start_ms, 300, interval=0.02)
        usual_ms = usual.stop()
        client.slowlog_reset()
        server.config_set("slowlog-log-slower-than", 5_000)
        meanwhile.start()
        eventually(lambda: scheduler.ledger.fires >= due, 120, interval=0.05)
        meanwhile_ms = meanwhile.stop()
        eventually(lambda: store.counts().ended == due, 60, interval=0.05)

    slow = [entry for entry in client.slowlog_get(128) if b"EVALSHA" in bytes(entry["command"])]
    lags = _lags(broker)
    assert len(lags) == due == scheduler.ledger.fires
    assert min(lags) >= 0
    assert store.counts().active == total - due
    assert store.get("pattern").state == "paused"
    print(
        f"S5 {total:,} schedules (made in {made_s:.1f} s), {due:,} due in one second: lag p50 {median(lags):.0f} ms, "
        f"p99 {quantiles(lags, n=100)[98]:.0f} ms; a submit beside it p99 {meanwhile_ms:.1f} ms (before "
        f"{usual_ms:.1f} ms); scripts over 5 ms: {len(slow)}",
        flush=True,
    )
    client.close()
    broker.backend.close()


def _lags(broker: Broker) -> list[int]:
    """How long after its instant each message was submitted, by Redis' clock, ms."""
    found: dict[str, int] = {}
    for partition in range(PARTITIONS):
        rows = broker.redis.links.command("ZRANGE", broker.keys.ready("q", partition), 0, -1, "WITHSCORES")
        for name, score in zip(rows[::2], rows[1::2], strict=True):
            uuid = name.decode()
            instant = made_at(uuid)
            assert instant is not None
            # Without a priority the score is the time at which it came.
            found[uuid] = int(float(score)) + EPOCH_MS - instant
    return list(found.values())
