"""Audit a namespace: does every message stand where its record says, and does only what is over vanish by itself?

Read-only, and harmless beside running workers: everything is read in small pages, and whatever looks wrong in a page
is read once more, by one transaction, before it is reported.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from alsek.core.status.types import TERMINAL_TASK_STATUSES, TaskStatus
from alsek.exceptions import AlsekError, BackendDataError
from alsek.storage.serialization import JsonSerializer
from alsek.tools._reader import Name, Reader, all_indexes, text
from alsek.tools._schedule_audit import ADVICE, judge_schedule, questions, read
from alsek.tools._verdict import INDEXES, WHAT_TO_DO, Facts, Place, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek.storage.backends.redis.link import Route
    from alsek.storage.keys import Keys
    from alsek.storage.serialization import Serializer

#: Findings after which an audit stops: by then something larger is wrong.
MOST_FINDINGS: Final = 1_000

#: Keys that vanish by themselves, unless their message lives.
_PASSING: Final = {
    "results": "result",
    "kids": "index of results",
    "c": "receipt of a claim",
    "status": "status",
    "u": "key of a unique message",
    "n": "count of a quarter of an hour",
}


class Store(Protocol):
    """The part of a Redis backend that is needed here."""

    @property
    def keys(self) -> Keys:
        """The key names of the namespace."""

    @property
    def serializer(self) -> Serializer:
        """Reads user data."""

    def new_link(self) -> Route:
        """Make a connection of our own."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: What is wrong, as one of the keys of `WHAT_TO_DO`.
        partition: Where.
        queue: Where, as far as it is known.
        uuid: Of the message; for other keys the part of the name behind the partition's tag.
        text: What was found, in words.
        what_to_do: Advice for who operates the system.
    """

    kind: str
    partition: int
    queue: str
    uuid: str
    text: str
    what_to_do: str


@dataclass(slots=True)
class Report:
    """What an audit saw.

    Attributes:
        checked: How many of each kind were looked at.
        findings: What is wrong, each thing once.
        complete: Whether everything was looked at, not given up after too many findings.
        newer: Messages that a newer release wrote: they are left unread, and are no finding.
    """

    checked: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    complete: bool = True
    newer: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


def audit(backend: Store, *, limit: int = MOST_FINDINGS, progress: Callable[[Report], object] | None = None) -> Report:
    """Check everything the engine keeps in a namespace, and change nothing.

    Args:
        backend: A synchronous Redis backend.
        limit: Findings after which the audit gives up.
        progress: Called with the unfinished report after each page.

    Raises:
        BackendUnavailableError: Redis did not answer.
    """
    link = backend.new_link()
    try:
        return _Audit(backend, link, limit, progress or (lambda _: None)).run()
    finally:
        link.close()


class _EnoughError(Exception):
    """There are as many findings as were asked for."""


class _Audit:
    def __init__(self, backend: Store, link: Route, limit: int, progress: Callable[[Report], object]) -> None:
        self._reader = Reader(link, backend.keys)
        self._partitions = backend.keys.partitions
        self._serializer = backend.serializer
        self._limit = limit
        self._progress = progress
        self._report = Report()
        self._reported: set[tuple[str, int, str, str]] = set()
        #: Every index that exists, by partition: where a stray id may stand.
        self._indexes: dict[int, set[Place]] = {}
        #: Indexes of schedules that exist: partition, and the name behind its tag.
        self._lists: set[tuple[int, str]] = set()
        self._keys = backend.keys

    def run(self) -> Report:
        try:
            for page in self._reader.names():
                self._sort(page)
            for page in self._reader.names():
                self._check_messages([(name.partition, name.rest, None) for name in page if name.kind == "m"])
                self._check_passing([name for name in page if name.kind in _PASSING])
                self._check_markers([name for name in page if name.kind == "w"])
                self._check_schedules([(name.partition, name.rest) for name in page if name.kind == "s"])
                self._progress(self._report)
            for partition, places in sorted(self._indexes.items()):
                self._check_registration(partition, {place.queue for place in places})
                for place in sorted(places):
                    self._check_index(partition, place)
            for partition, index in sorted(self._lists):
                self._check_list(partition, index)
        except _EnoughError:
            self._report.complete = False
        return self._report

    def _sort(self, page: Sequence[Name]) -> None:
        for name in page:
            if name.kind in INDEXES:
                self._indexes.setdefault(name.partition, set()).add(Place(name.kind, name.rest))
            if name.kind == "schedules" and name.rest in ("", "due", "paused", "broken"):
                self._lists.add((name.partition, f"schedules:{name.rest}".rstrip(":")))
            if name.partition >= self._partitions and name.kind in ("m", "s"):
                told = f"it lies in partition {name.partition} of {self._partitions}"
                self._found("unknown_partition", name.partition, "", name.rest, told)

    def _check_index(self, partition: int, place: Place) -> None:
        if not self._is_a("zset", partition, place.queue, f"{place.letter}:{place.queue}"):
            return
        for ids in self._reader.ids(partition, place):
            self._count(INDEXES[place.letter], len(ids))
            self._check_messages([(partition, uuid, place) for uuid in ids])
            self._progress(self._report)

    def _check_messages(self, ids: Sequence[tuple[int, str, Place | None]]) -> None:
        """Judge a page as it was read; then judge again, by one transaction each, what looked wrong.

        Args:
            ids: Partition and uuid, and the index in which it was met, if it was.
        """
        facts = self._reader.facts([(partition, uuid) for partition, uuid, _ in ids])
        # Where a message stands beside the index in which it was met is asked when its record is met.
        drafts = [
            (draft, all_indexes({draft.queue} - {""}) if met is None else [])
            for draft, (_, _, met) in zip(facts, ids, strict=True)
        ]
        found = self._reader.standing(drafts)
        for draft, standing, (_, _, met) in zip(facts, found, ids, strict=True):
            if met is None:
                self._count("records", 1)
                self._report.newer += draft.newer
            if judge(draft, standing if met is None else [met]):
                self._confirm(draft)

    def _confirm(self, suspect: Facts) -> None:
        partition, uuid = suspect.partition, suspect.uuid
        queues = {place.queue for place in self._indexes.get(partition, ())} | self._registered(partition)
        facts, standing = self._reader.at_once(partition, uuid, all_indexes(queues | {suspect.queue} - {""}))
        for kind, told in judge(facts, standing):
            self._found(kind, partition, facts.queue or (standing[0].queue if standing else ""), uuid, told)

    def _check_schedules(self, ids: Sequence[tuple[int, str]], *, listed: bool = False) -> None:
        """Judge a page of schedules as it was read; then judge again, by one transaction each, what looked wrong."""
        asked = [questions(self._reader, partition, one) for partition, one in ids]
        answers = iter(self._reader.ask([command for commands in asked for command in commands]))
        for (partition, one), commands in zip(ids, asked, strict=True):
            if not listed:
                self._count("schedules", 1)
            at_home = partition >= self._partitions or self._keys.partition(one) == partition
            suspect = read(partition, one, [next(answers) for _ in commands])
            if any(judge_schedule(suspect, at_home=at_home)):
                again = read(partition, one, self._reader.transaction(commands, commands[0][1]))
                for kind, told in judge_schedule(again, at_home=at_home):
                    self._found(kind, partition, "", f"s:{one}", told)

    def _check_list(self, partition: int, index: str) -> None:
        kind, command = ("zset", "ZSCAN") if index in ("schedules", "schedules:due") else ("set", "SSCAN")
        if self._is_a(kind, partition, "", index):
            for ids in self._reader.members(partition, index, command):
                self._check_schedules([(partition, one) for one in ids], listed=True)

    def _check_passing(self, names: Sequence[Name]) -> None:
        """Results, statuses and receipts have an expiry once their message is over."""
        for name, left in zip(names, self._reader.ask([("PTTL", name.key) for name in names]), strict=True):
            self._count(_PASSING[name.kind], 1)
            if left != -1:
                continue
            uuid = name.rest.rpartition(":")[2]
            if name.kind == "u":  # named after the key: it holds the uuid of its message
                uuid = text(self._reader.ask([("GET", name.key)])[0]).partition(" ")[0]
            facts, _, left_now, value = self._reader.at_once(
                name.partition, uuid, (), ("PTTL", name.key), ("GET", name.key)
            )
            if left_now == -1 and self._is_over(name.kind, facts) and not self._is_meant(name.kind, facts, value):
                rest = f"{name.kind}:{name.rest}"
                self._found("stays_for_ever", name.partition, "", rest, f"this {_PASSING[name.kind]} has no expiry")

    def _is_over(self, kind: str, facts: Facts) -> bool:
        dead = kind in ("status", "u") and facts.fields.get("s") == "x"
        return facts.kind == "none" or bool(facts.receipt) or dead

    def _is_meant(self, kind: str, facts: Facts, value: Any) -> bool:
        """Whether a status may stay for ever: as its record says, or, where that is gone, if it is a last one."""
        if kind != "status":
            return False
        if facts.fields:
            return facts.fields.get("k", "0") == "0"
        if not isinstance(self._serializer, JsonSerializer):
            return True  # reading it may run code
        try:
            return TaskStatus[self._serializer.reverse(text(value))["status"]] in TERMINAL_TASK_STATUSES
        except (AlsekError, LookupError, TypeError, ValueError):
            return False

    def _check_markers(self, names: Sequence[Name]) -> None:
        for name, length in zip(names, self._reader.ask([("LLEN", name.key) for name in names]), strict=True):
            self._count("wake markers", 1)
            if isinstance(length, int) and length > 1:
                self._found("several_wake_markers", name.partition, name.rest, f"w:{name.rest}", f"{length} markers")
            elif not isinstance(length, int):
                self._is_a("list", name.partition, name.rest, f"w:{name.rest}")

    def _check_registration(self, partition: int, queues: set[str]) -> None:
        known = self._registered(partition)
        for queue in sorted(queues - known):
            keys = [self._reader.key(partition, f"{letter}:{queue}") for letter in INDEXES]
            listed = ("SISMEMBER", self._reader.key(partition, "queues"), queue)
            held, member = self._reader.transaction([("EXISTS", *keys), listed], keys[0])
            if held and not member:
                self._found("unknown_queue", partition, queue, "queues", "it has messages, and stands in no list")
        self._count("queues", len(known))

    def _registered(self, partition: int) -> set[str]:
        (names,) = self._reader.ask([("SMEMBERS", self._reader.key(partition, "queues"))])
        if isinstance(names, BackendDataError):
            self._is_a("set", partition, "", "queues")
            return set()
        return {text(name) for name in names}

    def _is_a(self, kind: str, partition: int, queue: str, rest: str) -> bool:
        """Report a key of the wrong type; one that is gone by now is none."""
        (found,) = self._reader.ask([("TYPE", self._reader.key(partition, rest))])
        if text(found) not in (kind, "none"):
            self._found("wrong_type", partition, queue, rest, f"{rest} is a {text(found)}, not a {kind}")
        return text(found) == kind

    def _count(self, what: str, more: int) -> None:
        self._report.checked[what] = self._report.checked.get(what, 0) + more

    def _found(self, kind: str, partition: int, queue: str, uuid: str, told: str) -> None:
        thing = (kind, partition, queue, uuid)
        if thing in self._reported:
            return
        self._reported.add(thing)
        self._report.findings.append(Finding(kind, partition, queue, uuid, told, (WHAT_TO_DO | ADVICE)[kind]))
        if len(self._report.findings) >= self._limit:
            raise _EnoughError
