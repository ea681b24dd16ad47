"""Schedules for the scheduler that is measured: very many that rest, some that beat, and a burst."""

from itertools import pairwise

from alsek import Broker
from alsek.core.ids import made_at
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.schedules.template import fire_uuid
from alsek.core.triggers import DateTrigger, IntervalTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.keys import EPOCH_MS
from peerkit.adapter import options

QUEUE = "fired"
#: Longer than any measurement takes.
FAR_MS = 86_400_000
#: From now to the first instant of a burst: longer than making it takes.
AHEAD_MS = 4_000

store = ScheduleStore(Broker(RedisBackend(options().redis_url)))
_links, _keys = store.broker.redis.links, store.broker.keys


async def rest(_adapter, first, count):
    """Make schedules that are not due for a long time."""
    far = _now_ms() + FAR_MS
    _make("rest", int(first), [far + i for i in range(int(count))])
    return {"total": store.counts().total}


async def beat(_adapter, count, every_ms):
    """Make schedules that fire again and again, evenly spread."""
    now = _now_ms()
    for i in range(int(count)):
        start = now + int(every_ms) + i * int(every_ms) // int(count)
        store.create(f"beat{i}", "work", IntervalTrigger(milliseconds=int(every_ms), start=start), queue=QUEUE)
    return {}


async def fired(_adapter):
    """Tell how often the beating ones have fired."""
    return {"fired": sum(one.fired for one in store.page(500).schedules if one.id.startswith("beat"))}


async def still(_adapter):
    """Pause the beating ones."""
    for one in store.page(500).schedules:
        if one.id.startswith("beat"):
            store.pause(one.id)
    return {}


async def burst(_adapter, number, count):
    """Make schedules that are due within one second, and tell when the last one is over, ms from now."""
    _links.command("DEL", _keys.ready(QUEUE, 0))
    begin = _now_ms() + AHEAD_MS
    _make(f"burst{number}.", 0, [begin + i * 1_000 // int(count) for i in range(int(count))])
    return {"wait_ms": begin + 1_000 - _now_ms()}


async def lags(_adapter):
    """Tell how long after its instant each message of the last burst was submitted, by Redis' clock, ms."""
    rows = _links.command("ZRANGE", _keys.ready(QUEUE, 0), 0, -1, "WITHSCORES")
    # Of a message without a priority the score is the time at which it came.
    return {"ms": [int(float(rows[i + 1])) + EPOCH_MS - made_at(rows[i].decode()) for i in range(0, len(rows), 2)]}


async def pulse(_adapter, every_ms):
    """Make one schedule that fires often."""
    _links.command("DEL", _keys.ready(QUEUE, 0))
    store.create("pulse", "work", IntervalTrigger(milliseconds=int(every_ms)), queue=QUEUE)
    return {}


async def gap(_adapter):
    """Tell the longest time in which no message came, ms, and forget those that came."""
    rows = _links.command("ZRANGE", _keys.ready(QUEUE, 0), 0, -1, "WITHSCORES")
    _links.command("DEL", _keys.ready(QUEUE, 0))
    came = [int(float(score)) for score in rows[1::2]]
    return {"ms": max((b - a for a, b in pairwise(came)), default=0)}


def _make(prefix, first, instants):
    """Write schedules of dates as `create` does, many in flight."""
    far = max(instants) + FAR_MS
    store.create("pattern", "work", DateTrigger(far), policy=FirePolicy("all"), queue=QUEUE, paused=True)
    raw = _links.command("HGETALL", _keys.schedule("pattern"))
    store.delete("pattern")
    fields = dict(zip(raw[::2], raw[1::2], strict=True))

    def calls():
        for i, instant in enumerate(instants, first):
            name = f"{prefix}{i:06}"
            text = fields[b"d"].replace(str(far).encode(), str(instant).encode())
            uuid = fire_uuid(_keys, name, instant)
            told = {"d": text, "b": fields[b"b"], "a": fields[b"a"], "f": uuid, "r": ""}
            yield store.verbs.put(name, 0, "made", "a", instant, told)

    for _ in _links.stream(calls(), patience=5):
        pass


def _now_ms():
    seconds, micros = _links.command("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


COMMANDS = {
    "rest": rest,
    "beat": beat,
    "fired": fired,
    "still": still,
    "burst": burst,
    "lags": lags,
    "pulse": pulse,
    "gap": gap,
}
