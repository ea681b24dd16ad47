"""Compares a model's dump with a server's, and lets the model take over the server's times.

The model is told the time just before a call, the script reads it a moment later: every stored time may be up
to `slack` ms later on the server. Afterwards the model adopts the server's times, so that errors never add up.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from alsek.storage.keys import EPOCH_MS
from model.partition import Partition, Receipt, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.redis_dump import Dump, Entry

_TIMED_FIELDS = {"m": ("x", "z", "c"), "meta": ("clock", "grace")}
_TIMED_SETS = ("r", "d", "l", "x", "kids")
#: Texts with a time in them: what stands before it, the time, what stands behind.
_TIMED_TEXTS = {
    "m": re.compile(r"([A-Z] \S* )(\d+)( .*)", re.DOTALL),
    "u": re.compile(r"(\S+ )(\d+)()"),
    "results": re.compile(r"()(\d+)(:.*)", re.DOTALL),
    "meta": re.compile(r"()(\d+)( .*)", re.DOTALL),
}


def differences(model: Dump, real: Dump, slack: int) -> list[str]:
    """Say in words what differs; an empty list means equal.

    Args:
        model: What should be there.
        real: What is there.
        slack: How many ms later than in the model a time may be.
    """
    found = [f"{key}: should not be there: {real[key]}" for key in sorted(real.keys() - model.keys())]
    found += [f"{key}: missing: {model[key]}" for key in sorted(model.keys() - real.keys())]
    for key in sorted(model.keys() & real.keys()):
        found += [f"{key}: {what}" for what in _unequal(key, model[key], real[key], slack)]
    return found


def adopt(partition: Partition, real: Dump) -> None:
    """Take over the times of an equal dump.

    Args:
        partition: The model's state.
        real: The server's dump that it was found equal to.
    """
    for key, entry in real.items():
        prefix, _, name = key.partition(":")
        value = entry.value
        if key == "meta" and isinstance(value, dict):
            partition.meta = {field: int(text) if str(text).isdecimal() else str(text) for field, text in value.items()}
        elif prefix == "m":
            record = partition.records.get(name)
            if isinstance(record, Record) and isinstance(value, dict):
                record.fields |= {field: str(value[field]) for field in ("x", "z", "c") if field in value}
            elif isinstance(record, Receipt) and isinstance(value, str):
                record.ended_at, record.vanishes_at = int(value.split(" ")[2]), entry.expires_at or 0
        elif prefix in ("r", "d", "l", "x") and isinstance(value, dict):
            home = partition.queue(name)
            home.index(prefix).update({uuid: float(score) for uuid, score in value.items()})
        elif key in partition.kept:
            kept = partition.kept[key]
            kept.vanishes_at = entry.expires_at
            kept.value = value if isinstance(value, str) else {uuid: float(value[uuid]) for uuid in value}  # type: ignore[arg-type, call-overload, union-attr]  # kids only


def moments(partition: Partition, now: int, weight: int, silence_ms: int) -> Iterator[float]:
    """Every stored time on which a decision may hang."""
    for queue in partition.queues.values():
        yield from queue.delayed.values()
        yield from queue.leases.values()
        yield from queue.dead.values()
        for uuid, score in queue.ready.items():
            record = partition.record(uuid)
            ready_ms = score + EPOCH_MS - (record.priority if record else 0) * weight
            if ready_ms >= now:
                yield ready_ms
    for record in partition.records.values():
        if isinstance(record, Record):
            yield _number(record.expires_at)
        elif isinstance(record, Receipt):
            yield record.vanishes_at
    for name, kept in partition.kept.items():
        yield float(kept.vanishes_at or math.inf)
        if name.startswith("u:"):
            yield _number(str(kept.value).rpartition(" ")[2])
    yield float(partition.meta.get("grace", math.inf))
    clock = float(partition.meta.get("clock", math.inf))
    yield clock + silence_ms
    yield clock - silence_ms


def shift(partition: Partition, ms: int, *, clock_too: bool = True) -> None:
    """Let `ms` go by in the model, as `TimeMachine.advance` does on the server."""
    for queue in partition.queues.values():
        for ids in queue.indexes().values():
            ids.update({uuid: score - ms for uuid, score in ids.items()})
    for record in partition.records.values():
        if isinstance(record, Record):
            timed = {name: text for name, text in record.fields.items() if name in _TIMED_FIELDS["m"]}
            record.fields |= {name: str(int(text) - ms) for name, text in timed.items() if text.isdecimal()}
        elif isinstance(record, Receipt):
            record.vanishes_at -= ms
    for name, kept in partition.kept.items():
        if name.startswith("u:"):
            uuid, _, ends = str(kept.value).rpartition(" ")
            kept.value = f"{uuid} {int(ends) - ms}"
        if isinstance(kept.value, dict):
            kept.value = {uuid: score - ms for uuid, score in kept.value.items()}
        kept.vanishes_at = None if kept.vanishes_at is None else kept.vanishes_at - ms
    for name in _TIMED_FIELDS["meta"] if clock_too else ("grace",):
        if name in partition.meta:
            partition.meta[name] = int(partition.meta[name]) - ms


def _unequal(key: str, model: Entry, real: Entry, slack: int) -> Iterator[str]:
    if model.kind != real.kind:
        yield f"is a {real.kind}, not a {model.kind}"
        return
    if model.has_ttl != real.has_ttl:
        yield "should vanish by itself" if model.has_ttl else f"must not vanish by itself: {real.value}"
    elif not _close(model.expires_at, real.expires_at, slack):
        yield f"vanishes at {real.expires_at}, not at {model.expires_at}"
    prefix = key.partition(":")[0]
    if isinstance(model.value, dict) and isinstance(real.value, dict):
        timed = _TIMED_FIELDS.get(prefix, ())
        for name in sorted(model.value.keys() | real.value.keys()):
            ours, theirs = model.value.get(name), real.value.get(name)
            if ours == theirs:
                continue
            if prefix == "meta" and name.startswith("pause:") and _same_text(prefix, ours, theirs, slack):
                continue
            if not ((prefix in _TIMED_SETS or name in timed) and _close(ours, theirs, slack)):
                yield f"{name} is {theirs!r}, not {ours!r}"
    elif prefix in _TIMED_TEXTS and isinstance(model.value, str) and isinstance(real.value, str):
        if not _same_text(prefix, model.value, real.value, slack):
            yield f"holds {real.value!r}, not {model.value!r}"
    elif model.value != real.value:
        yield f"holds {real.value!r}, not {model.value!r}"


def _same_text(prefix: str, model: object, real: object, slack: int) -> bool:
    ours, theirs = (_TIMED_TEXTS[prefix].fullmatch(str(text)) for text in (model, real))
    if ours is None or theirs is None:
        return model == real
    return ours.group(1, 3) == theirs.group(1, 3) and _close(ours[2], theirs[2], slack)


def _close(ours: object, theirs: object, slack: int) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    if ours == theirs:
        return True
    later = _number(theirs) - _number(ours)
    return math.isfinite(later) and 0 <= later <= slack


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # anything unreadable is no time
    except (TypeError, ValueError):
        return math.inf
