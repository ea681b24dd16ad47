"""Audit a namespace: does every message stand where its record says, and does only what is over vanish by itself?

Read-only, and harmless beside running workers: everything is read in small pages, and whatever looks wrong in a page
is read once more, by one transaction, before it is reported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from alsek.core.record import VERSION
from alsek.core.status.types import TERMINAL_TASK_STATUSES, TaskStatus
from alsek.exceptions import AlsekError, BackendDataError
from alsek.storage.serialization import JsonSerializer
from alsek.tools._verdict import INDEXES, WHAT_TO_DO, Facts, Place, judge, queue_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from alsek.storage.backends.redis.link import Link
    from alsek.storage.keys import Keys
    from alsek.storage.serialization import Serializer

#: Findings after which an audit stops: by then something larger is wrong.
MOST_FINDINGS: Final = 1_000

#: Names asked for in one step of a scan, and messages read in one write.
_PAGE: Final = 100

_FIELDS: Final = ("s", "t", "f", "T", "b", "p", "n", "d", "x", "k")
#: Keys that vanish by themselves, unless their message lives.
_PASSING: Final = {"results": "result", "kids": "index of results", "c": "receipt of a claim", "status": "status"}


class Store(Protocol):
    """The part of a Redis backend that is needed here."""

    @property
    def keys(self) -> Keys:
        """The key names of the namespace."""

    @property
    def serializer(self) -> Serializer:
        """Reads user data."""

    def new_link(self) -> Link:
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


class _Name(NamedTuple):
    """A key of the namespace, taken apart: partition, kind of key, the rest."""

    key: str
    partition: int
    kind: str
    rest: str


class _EnoughError(Exception):
    """There are as many findings as were asked for."""


class _Audit:
    def __init__(self, backend: Store, link: Link, limit: int, progress: Callable[[Report], object]) -> None:
        self._keys = backend.keys
        self._serializer = backend.serializer
        self._link = link
        self._limit = limit
        self._progress = progress
        self._report = Report()
        self._reported: set[tuple[str, int, str, str]] = set()
        #: Every index that exists, by partition: where a stray id may stand.
        self._indexes: dict[int, set[Place]] = {}

    def run(self) -> Report:
        try:
            for page in self._names():
                self._sort(page)
            for page in self._names():
                self._check_messages((name.partition, name.rest, ()) for name in page if name.kind == "m")
                self._check_passing([name for name in page if name.kind in _PASSING])
                self._check_markers([name for name in page if name.kind == "w"])
                self._progress(self._report)
            for partition, places in sorted(self._indexes.items()):
                self._check_registration(partition, {place.queue for place in places})
                for place in sorted(places):
                    self._check_index(partition, place)
        except _EnoughError:
            self._report.complete = False
        return self._report

    # What is looked at, and in which order.

    def _names(self) -> Iterator[list[_Name]]:
        """All keys of all partitions, also of partitions that should not exist."""
        namespace = self._keys.namespace
        shape = re.compile(rf"\{{{re.escape(namespace)}:(\d+)\}}:([^:]+):?(.*)", re.DOTALL)
        for raw in self._scan("SCAN", match=f"{{{_escaped(namespace)}:*}}:*"):
            found = [(key, shape.fullmatch(key)) for key in sorted({_text(name) for name in raw})]
            yield [_Name(key, int(parts[1]), parts[2], parts[3]) for key, parts in found if parts is not None]

    def _sort(self, page: Sequence[_Name]) -> None:
        for name in page:
            if name.kind in INDEXES:
                self._indexes.setdefault(name.partition, set()).add(Place(name.kind, name.rest))
            if name.partition >= self._keys.partitions and name.kind == "m":
                told = f"it lies in partition {name.partition} of {self._keys.partitions}"
                self._found("unknown_partition", name.partition, "", name.rest, told)

    def _check_index(self, partition: int, place: Place) -> None:
        key = self._key(partition, f"{place.letter}:{place.queue}")
        if not self._is_a("zset", partition, place.queue, f"{place.letter}:{place.queue}"):
            return
        for raw in self._scan("ZSCAN", key):
            ids = [_text(uuid) for uuid in raw[::2]]
            self._count(INDEXES[place.letter], len(ids))
            self._check_messages((partition, uuid, (place,)) for uuid in ids)
            self._progress(self._report)

    def _check_messages(self, ids: Iterable[tuple[int, str, tuple[Place, ...]]]) -> None:
        """Judge a page as it was read; then judge again, by one transaction each, what looked wrong."""
        wanted = list(ids)
        kinds = self._ask([("TYPE", self._key(partition, f"m:{uuid}")) for partition, uuid, _ in wanted])
        read = iter(
            self._ask(
                [
                    command
                    for (partition, uuid, _), kind in zip(wanted, kinds, strict=True)
                    for command in self._record(partition, uuid, _text(kind))
                ]
            )
        )
        drafts = []
        for (partition, uuid, known), kind in zip(wanted, kinds, strict=True):
            draft = self._facts(partition, uuid, _text(kind), next(read), next(read))
            queues = {place.queue for place in known} | ({draft.queue} if draft.queue else set())
            drafts.append((draft, [Place(letter, queue) for queue in sorted(queues) for letter in INDEXES]))
            self._count("records", int(not known))
            self._report.newer += int(not known and draft.newer)
        scores = iter(self._ask([self._score(draft, place) for draft, places in drafts for place in places]))
        for draft, places in drafts:
            standing = [place for place in places if _is_score(next(scores))]
            if judge(draft, standing):
                self._confirm(draft)

    def _confirm(self, suspect: Facts) -> None:
        partition, uuid = suspect.partition, suspect.uuid
        queues = {place.queue for place in self._indexes.get(partition, ())} | self._registered(partition)
        places = [Place(letter, queue) for queue in sorted(queues | {suspect.queue} - {""}) for letter in INDEXES]
        key = self._key(partition, f"m:{uuid}")
        commands = [("TYPE", key), *self._record(partition, uuid, "hash"), ("GETRANGE", key, "0", "1")]
        read = self._at_once([*commands, *(self._score(suspect, place) for place in places)])
        kind = _text(read[0])
        facts = self._facts(partition, uuid, kind, read[1], read[3] if kind == "string" else read[2])
        standing = [place for place, score in zip(places, read[4:], strict=True) if _is_score(score)]
        for kind, text in judge(facts, standing):
            self._found(kind, partition, facts.queue or (standing[0].queue if standing else ""), uuid, text)

    def _check_passing(self, names: Sequence[_Name]) -> None:
        """Results, statuses and receipts have an expiry once their message is over."""
        for name, left in zip(names, self._ask([("PTTL", name.key) for name in names]), strict=True):
            self._count(_PASSING[name.kind], 1)
            if left != -1:
                continue
            record = self._key(name.partition, f"m:{name.rest.rpartition(':')[2]}")
            still_left, kind, fields, text = self._at_once(
                [("PTTL", name.key), ("TYPE", record), ("HMGET", record, "s", "k"), ("GET", name.key)]
            )
            if still_left != -1:
                continue
            state, kept = ("" if value is None else _text(value) for value in fields) if kind == b"hash" else ("", "")
            meant = (kept in ("", "0") if state else self._ended_for_ever(text)) if name.kind == "status" else False
            over = _text(kind) in ("none", "string") or (name.kind == "status" and state == "x")
            if over and not meant:
                rest = f"{name.kind}:{name.rest}"
                self._found("stays_for_ever", name.partition, "", rest, f"this {_PASSING[name.kind]} has no expiry")

    def _ended_for_ever(self, text: Any) -> bool:
        """Whether a status whose record is gone may be meant to stay: only a last one, as its tracker chose."""
        if not isinstance(self._serializer, JsonSerializer):
            return True  # reading it may run code
        try:
            return TaskStatus[self._serializer.reverse(_text(text))["status"]] in TERMINAL_TASK_STATUSES
        except (AlsekError, LookupError, TypeError, ValueError):
            return False

    def _check_markers(self, names: Sequence[_Name]) -> None:
        for name, length in zip(names, self._ask([("LLEN", name.key) for name in names]), strict=True):
            self._count("wake markers", 1)
            if isinstance(length, int) and length > 1:
                self._found("several_wake_markers", name.partition, name.rest, f"w:{name.rest}", f"{length} markers")
            elif not isinstance(length, int):
                self._is_a("list", name.partition, name.rest, f"w:{name.rest}")

    def _check_registration(self, partition: int, queues: Iterable[str]) -> None:
        known = self._registered(partition)
        for queue in sorted(set(queues) - known):
            keys = [self._key(partition, f"{letter}:{queue}") for letter in INDEXES]
            held, member = self._at_once([("EXISTS", *keys), ("SISMEMBER", self._key(partition, "queues"), queue)])
            if held and not member:
                self._found("unknown_queue", partition, queue, "queues", "it has messages, and stands in no list")
        self._count("queues", len(known))

    # How it is read.

    def _facts(self, partition: int, uuid: str, kind: str, left: Any, read: Any) -> Facts:
        """Put together what `_record` asked for."""
        fields = dict(zip(_FIELDS, read, strict=True)) if isinstance(read, list) else {}
        body = fields.get("b")
        newer = body is not None and body[:1] > bytes([VERSION])
        queue, problem = ("", "") if body is None or newer else queue_of(body)
        at_home = partition >= self._keys.partitions or self._keys.partition(uuid) == partition
        texts = {name: _text(value) for name, value in fields.items() if value is not None}
        receipt = _text(read)[0] if isinstance(read, bytes) and read[1:] == b" " else ""
        left_ms = left if isinstance(left, int) else -2
        return Facts(partition, uuid, kind, texts, receipt, left_ms, queue, problem, newer, at_home)

    def _record(self, partition: int, uuid: str, kind: str) -> list[tuple[str, ...]]:
        """How long it stays, and what it holds, asked in a way that suits its type."""
        key = self._key(partition, f"m:{uuid}")
        look: dict[str, tuple[str, ...]] = {"hash": ("HMGET", key, *_FIELDS), "string": ("GETRANGE", key, "0", "1")}
        return [("PTTL", key), look.get(kind, ("TYPE", key))]

    def _score(self, facts: Facts, place: Place) -> tuple[str, ...]:
        return ("ZSCORE", self._key(facts.partition, f"{place.letter}:{place.queue}"), facts.uuid)

    def _registered(self, partition: int) -> set[str]:
        (names,) = self._ask([("SMEMBERS", self._key(partition, "queues"))])
        if isinstance(names, BackendDataError):
            self._is_a("set", partition, "", "queues")
            return set()
        return {_text(name) for name in names}

    def _is_a(self, kind: str, partition: int, queue: str, rest: str) -> bool:
        """Report a key of the wrong type; one that is gone by now is none."""
        (found,) = self._ask([("TYPE", self._key(partition, rest))])
        if _text(found) not in (kind, "none"):
            self._found("wrong_type", partition, queue, rest, f"{rest} is a {_text(found)}, not a {kind}")
        return _text(found) == kind

    def _key(self, partition: int, rest: str) -> str:
        return f"{{{self._keys.namespace}:{partition}}}:{rest}"

    def _scan(self, command: str, *key: str, match: str = "*") -> Iterator[list[bytes]]:
        cursor = "0"
        while True:
            (answer,) = self._ask([(command, *key, cursor, "MATCH", match, "COUNT", str(_PAGE))])
            if isinstance(answer, BackendDataError):
                return
            yield answer[1]
            cursor = _text(answer[0])
            if cursor == "0":
                return

    def _at_once(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Read by one transaction: nothing happens in between."""
        answers: list[Any] = self._ask([("MULTI",), *commands, ("EXEC",)])[-1]
        return answers

    def _ask(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        """Send reading commands in one go; an error of one stands in its place."""
        answers: list[Any] = []
        for start in range(0, len(commands), _PAGE * 8):
            batch = commands[start : start + _PAGE * 8]
            for command in batch:
                self._link.send(*command)
            answers += [self._receive() for _ in batch]
        return answers

    def _receive(self) -> Any:
        try:
            return self._link.receive()
        except BackendDataError as error:
            return error

    def _count(self, what: str, more: int) -> None:
        self._report.checked[what] = self._report.checked.get(what, 0) + more

    def _found(self, kind: str, partition: int, queue: str, uuid: str, text: str) -> None:
        thing = (kind, partition, queue, uuid)
        if thing in self._reported:
            return
        self._reported.add(thing)
        self._report.findings.append(Finding(kind, partition, queue, uuid, text, WHAT_TO_DO[kind]))
        if len(self._report.findings) >= self._limit:
            raise _EnoughError


def _is_score(answer: Any) -> bool:
    """Whether an id stands in an index; an index of the wrong type holds nobody."""
    return isinstance(answer, bytes | float)


def _escaped(text: str) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


def _text(raw: Any) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
