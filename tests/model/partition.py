"""The state of one partition in plain Python, key for key what Redis holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

from model.redis_dump import Dump, Entry, canonical_receipt, canonical_record

if TYPE_CHECKING:
    from collections.abc import Collection

#: States in which a message waits or runs; it is then in exactly one index.
LIVE = "rdl"
#: Letters of a message that is over; it is then in no index and leaves a receipt that vanishes by itself.
ENDED = "SFVE"
#: What a record key of another type holds, as a planted fault leaves it.
JUNK = "junk"


class Text:
    """A field of a record that holds text; `None` when absent."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    @overload
    def __get__(self, record: None, owner: type) -> Text: ...
    @overload
    def __get__(self, record: Record, owner: type) -> str | None: ...
    def __get__(self, record: Record | None, owner: type) -> Text | str | None:
        return self if record is None else record.fields.get(self._letter)

    def __set__(self, record: Record, value: str | None) -> None:
        if value is None:
            record.fields.pop(self._letter, None)
        else:
            record.fields[self._letter] = value


class Count:
    """A field of a record that holds a number; what is absent or cannot be read counts as the default."""

    def __init__(self, letter: str, default: int = 0) -> None:
        self._letter = letter
        self._default = default

    @overload
    def __get__(self, record: None, owner: type) -> Count: ...
    @overload
    def __get__(self, record: Record, owner: type) -> int: ...
    def __get__(self, record: Record | None, owner: type) -> Count | int:
        if record is None:
            return self
        try:
            return int(record.fields.get(self._letter, self._default))
        except ValueError:
            return self._default

    def __set__(self, record: Record, value: int) -> None:
        record.fields[self._letter] = str(value)


class Record:
    """The truth about one message. The letters are the field names in Redis."""

    state = Text("s")
    task_name = Text("T")
    body = Text("b")
    #: Token of the last lease; it stays when its holder settles and goes when the lease is taken away.
    token = Text("t")
    error = Text("e")
    reason = Text("a")
    ended_at = Text("z")
    progress = Text("g")
    #: Of its key, if it is unique.
    digest = Text("u")
    #: When it was last claimed; and how attempts ended that did not end well.
    claimed_at = Text("c")
    history = Text("h")
    #: How long a tracked message keeps its last status, ms; absent: untracked, "0": for ever.
    kept_status_ms = Text("k")
    expires_at = Text("x")
    priority = Count("p")
    retries = Count("n")
    deliveries = Count("d")
    #: Grows with every claim and never goes back.
    fence = Count("f")

    def __init__(self, **fields: str) -> None:
        self.fields: dict[str, str] = fields

    @property
    def readable(self) -> bool:
        """Whether it has what a worker needs."""
        return None not in (self.state, self.task_name, self.body)

    def expired(self, now: int) -> bool:
        text = self.expires_at
        return text is not None and text.lstrip("-").isdigit() and int(text) <= now


@dataclass(slots=True)
class Receipt:
    """What an ended message leaves in the place of its record, so that a repeated call is recognised."""

    letter: str
    #: Of the lease under which it ended; empty when nobody held it.
    token: str
    ended_at: int
    reason: str
    details: str
    vanishes_at: int

    @property
    def text(self) -> str:
        return f"{self.letter} {self.token} {self.ended_at} {self.reason} {self.details}"


@dataclass(slots=True)
class Queue:
    """The four indexes of a queue (uuid → score) and its wake marker."""

    ready: dict[str, float] = field(default_factory=dict)
    delayed: dict[str, float] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    dead: dict[str, float] = field(default_factory=dict)
    #: An idle consumer that blocks on the queue will wake; never data, never more than one.
    marked: bool = False

    def index(self, state: str) -> dict[str, float]:
        return {"r": self.ready, "d": self.delayed, "l": self.leases, "x": self.dead}[state]

    def indexes(self) -> dict[str, dict[str, float]]:
        return {"r": self.ready, "d": self.delayed, "l": self.leases, "x": self.dead}


@dataclass(slots=True)
class Kept:
    """A value that may vanish by itself: a result, a status, a receipt, an index of results."""

    value: str | dict[str, float]
    vanishes_at: int | None = None


@dataclass(slots=True)
class Partition:
    """Everything behind one tag."""

    records: dict[str, Record | Receipt | str] = field(default_factory=dict)
    queues: dict[str, Queue] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    #: `clock` and `grace`, ms; and the pauses, as texts.
    meta: dict[str, int | str] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    #: What happened, by queue; sums, where Redis keeps minutes, and without the times.
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def count(self, queue: str, what: str) -> None:
        of_queue = self.counts.setdefault(queue, {})
        of_queue[what] = of_queue.get(what, 0) + 1

    def queue(self, name: str) -> Queue:
        return self.queues.setdefault(name, Queue())

    def record(self, uuid: str) -> Record | None:
        """The record, or `None` when there is none that could be read."""
        found = self.records.get(uuid)
        return found if isinstance(found, Record) else None

    def receipt(self, uuid: str) -> Receipt | None:
        """The receipt, if the message has ended."""
        found = self.records.get(uuid)
        return found if isinstance(found, Receipt) else None

    def state(self, uuid: str) -> str | None:
        """The letter of the message's state, living or ended."""
        found = self.records.get(uuid)
        return found.letter if isinstance(found, Receipt) else found.state if isinstance(found, Record) else None

    def forget(self, now: int) -> None:
        """Drop what has reached the end of its time, as Redis does."""
        for uuid, record in list(self.records.items()):
            if isinstance(record, Receipt) and record.vanishes_at < now:
                del self.records[uuid]
        for name, kept in list(self.kept.items()):
            if kept.vanishes_at is not None and kept.vanishes_at < now:
                del self.kept[name]

    def violations(self, except_for: Collection[str] = ()) -> list[str]:
        """What is wrong with the state itself: a message in no or in two places, a TTL on a live one.

        Args:
            except_for: Ids whose records were damaged on purpose.
        """
        wrong = []
        places: dict[str, list[str]] = {}
        for name, queue in self.queues.items():
            for state, ids in queue.indexes().items():
                for uuid in ids:
                    places.setdefault(uuid, []).append(f"{state}:{name}")
        for uuid in sorted((self.records.keys() | places.keys()) - set(except_for)):
            record = self.record(uuid)
            state = self.state(uuid)
            found = [place.partition(":")[0] for place in places.get(uuid, [])]
            if state is None:
                wrong.append(f"{uuid} has no record and stands in {places.get(uuid)}")
            elif record is None:
                if found:
                    wrong.append(f"{uuid} ended and stands in {places.get(uuid)}")
            elif found != [state]:
                wrong.append(f"{uuid} is in state {state} and stands in {places.get(uuid)}")
            elif state == "l" and (not record.token or record.fence < 1 or record.deliveries < 1):
                wrong.append(f"{uuid} is leased without token, fence or delivery: {record.fields}")
        return wrong

    def dump(self) -> Dump:
        """The partition as `redis_dump` gives a real one."""
        dump: Dump = {}
        for uuid, record in self.records.items():
            if isinstance(record, Record):
                dump[f"m:{uuid}"] = Entry("hash", canonical_record(record.fields))
            elif isinstance(record, Receipt):
                dump[f"m:{uuid}"] = Entry("string", canonical_receipt(record.text), record.vanishes_at)
            else:
                dump[f"m:{uuid}"] = Entry("string", record)
        for name, queue in self.queues.items():
            dump |= {f"{letter}:{name}": Entry("zset", dict(ids)) for letter, ids in queue.indexes().items() if ids}
            if queue.marked:
                dump[f"w:{name}"] = Entry("list", ["1"])
        if self.names:
            dump["queues"] = Entry("set", set(self.names))
        if self.meta:
            dump["meta"] = Entry("hash", {name: str(value) for name, value in self.meta.items()})
        dump |= {
            f"n:{queue}": Entry("hash", {what: str(n) for what, n in counts.items()})
            for queue, counts in self.counts.items()
        }
        for name, kept in self.kept.items():
            kind = "string" if isinstance(kept.value, str) else "zset"
            dump[name] = Entry(kind, kept.value if isinstance(kept.value, str) else dict(kept.value), kept.vanishes_at)
        return dump
