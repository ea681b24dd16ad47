"""Reads queues and records for people: many small commands in one write, and never a scan of the keyspace."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from alsek.exceptions import BackendDataError, BackendUnavailableError, ValidationError
from alsek.storage.backends.redis.counts import Counts, Pace
from alsek.storage.keys import EPOCH_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alsek.storage.backends.redis.link import Argument
    from alsek.storage.backends.redis.standard import RedisBackend

#: Full minutes, besides the one that runs, over which the pace of a queue is told.
_PACE_MINUTES: Final = 5

#: The letter of a state in a record, which is also that of its index.
LETTERS: Final = {"ready": "r", "delayed": "d", "running": "l", "dead": "x"}


class Place(NamedTuple):
    """Where a page of an index ended: partition, score and id of the last that was given."""

    partition: int
    score: float
    uuid: str


class QueueFacts(NamedTuple):
    """What the indexes of a queue say, over all partitions.

    Attributes:
        name: Of the queue.
        counts: Messages by state.
        head_ms: Since when the longest waiting head of a line is ready (ms since the epoch); `None`: nothing is.
        due_ms: When the next delayed message is due; `None`: none is delayed.
        pause: What is remembered of its pause; `None`: it is not paused.
        pace: What went in and out lately.
    """

    name: str
    counts: dict[str, int]
    head_ms: int | None
    due_ms: int | None
    pause: bytes | None
    pace: Pace


class Look:
    """Reads one namespace; safe for threads.

    Args:
        backend: Whose keys.
        weight: How much one level of priority weighs in the score of a ready message.
    """

    def __init__(self, backend: RedisBackend, weight: int) -> None:
        self._backend = backend
        self._keys = backend.keys
        self._weight = weight
        self._counts = Counts(backend.keys)
        self._link = backend.new_link()
        self._lock = threading.Lock()

    def now_ms(self) -> int:
        """Give Redis' own time, ms since the epoch."""
        seconds, micros = self._ask([("TIME",)])[0]
        return int(seconds) * 1000 + int(micros) // 1000

    def queues(self, names: Iterable[str], now_ms: int) -> list[QueueFacts]:
        """Count the messages of queues, and find out how long they wait and how fast they go."""
        names = list(names)
        commands: list[tuple[Argument, ...]] = []
        for name in names:
            for partition in range(self._keys.partitions):
                keys = self._keys.of_queue(name, partition)[:4]
                commands += [("ZCARD", key) for key in keys]
                commands += [("ZRANGE", key, 0, 0, "WITHSCORES") for key in keys[:2]]
                commands.append(("HGET", self._keys.meta(partition), self._keys.pause_field(name)))
            commands += self._counts.of_pace(name, now_ms, _PACE_MINUTES)
        answers = iter(self._ask(commands))
        return [self._facts(name, answers, now_ms) for name in names]

    def minutes(self, queues: Sequence[str], minutes: int) -> list[list[tuple[int, dict[str, int]]]]:
        """Give what happened in each queue minute by minute, in one write; see `Counts.read_minutes`."""
        now_ms = self.now_ms()
        asked = [self._counts.of_minutes(queue, now_ms, minutes) for queue in queues]
        answers = iter(self._ask([command for commands in asked for command in commands]))
        return [self._counts.read_minutes([next(answers) for _ in one], now_ms, minutes) for one in asked]

    def page(self, queue: str, state: str, after: Place | None, limit: int) -> list[Place]:
        """Give ids of an index, in its order, one partition after the other.

        Args:
            queue: Which.
            state: `ready`, `delayed`, `running` or `dead`.
            after: Where the last page ended.
            limit: Most ids.
        """
        found: list[Place] = []
        for partition in range(after.partition if after else 0, self._keys.partitions):
            key = f"{self._keys.tag(partition)}{LETTERS[state]}:{queue}"
            start = 0
            if after is not None and after.partition == partition:
                rank, below = self._ask([("ZRANK", key, after.uuid), ("ZCOUNT", key, "-inf", f"({after.score!r}")])
                # It may have left meanwhile; its score tells where it was.
                start = rank + 1 if isinstance(rank, int) else _number(below)
            raw = self._ask([("ZRANGE", key, start, start + limit - len(found) - 1, "WITHSCORES")])[0] or ()
            found += [Place(partition, float(raw[i + 1]), _text(raw[i])) for i in range(0, len(raw), 2)]
            if len(found) >= limit:
                break
        return found

    def records(self, uuids: Sequence[str]) -> list[dict[bytes, bytes] | bytes]:
        """Give records: the fields of a message that lives or is dead, the receipt of an ended one, else `{}`."""
        names = [self._keys.record(uuid) for uuid in uuids]
        raw = self._ask([("HGETALL", name) for name in names])
        found: list[dict[bytes, bytes] | bytes] = []
        for name, fields in zip(names, raw, strict=True):
            if isinstance(fields, list):
                found.append(dict(zip(fields[::2], fields[1::2], strict=True)))
            else:  # no hash: the receipt
                receipt = self._ask([("GET", name)])[0]
                found.append(receipt if isinstance(receipt, bytes) else {})
        return found

    def standing(self, uuid: str, queue: str) -> tuple[int | None, float | None, float | None, int]:
        """Give a message's rank among the ready, the due time if delayed, the end of its lease, and the last sign of
        life of any worker (ms since the epoch; 0: none ever).
        """  # noqa: D205  (four facts do not fit one line)
        partition = self._keys.partition(uuid)
        rank, due, lease, clock = self._ask([
            ("ZRANK", self._keys.ready(queue, partition), uuid),
            ("ZSCORE", self._keys.delayed(queue, partition), uuid),
            ("ZSCORE", self._keys.leases(queue, partition), uuid),
            ("HGET", self._keys.meta(partition), "clock"),
        ])  # fmt: skip
        return (
            rank if isinstance(rank, int) else None,
            float(due) if isinstance(due, bytes) else None,
            float(lease) if isinstance(lease, bytes) else None,
            _number(clock),
        )

    def pause(self, queue: str) -> bytes | None:
        """Give what any partition remembers of a queue's pause; `None`: it is not paused."""
        field = self._keys.pause_field(queue)
        found = self._ask([("HGET", self._keys.meta(p), field) for p in range(self._keys.partitions)])
        return next((one for one in found if one is not None), None)

    def tasks_of(self, uuids: Sequence[str]) -> dict[str, str]:
        """Give the names of messages' tasks, as far as the messages are there."""
        names = self._ask([("HGET", self._keys.record(uuid), "T") for uuid in uuids])
        return {uuid: _text(name) for uuid, name in zip(uuids, names, strict=True) if name is not None}

    def home(self, uuid: str, queues: Iterable[str]) -> str:
        """Give the queue whose dead letters hold a message whose body cannot be read; empty when none does."""
        partition, queues = self._keys.partition(uuid), list(queues)
        scores = self._ask([("ZSCORE", self._keys.dead(queue, partition), uuid) for queue in queues])
        return next((queue for queue, score in zip(queues, scores, strict=True) if score is not None), "")

    def close(self) -> None:
        """Drop the connection; the next look makes a new one."""
        with self._lock:
            self._link.close()

    def _facts(self, name: str, answers: Any, now_ms: int) -> QueueFacts:
        counts = dict.fromkeys(LETTERS, 0)
        heads: list[int] = []
        dues: list[int] = []
        pauses: list[bytes] = []
        for _ in range(self._keys.partitions):
            for state in LETTERS:
                counts[state] += _number(next(answers))
            head, due, pause = next(answers), next(answers), next(answers)
            if isinstance(head, list) and head:
                heads.append(int(float(head[1])) % self._weight + EPOCH_MS)
            if isinstance(due, list) and due:
                dues.append(int(float(due[1])))
            if pause is not None:
                pauses.append(pause)
        pace = self._counts.read_pace(answers, now_ms, _PACE_MINUTES)
        head, due = min(heads, default=None), min(dues, default=None)
        return QueueFacts(name, counts, head, due, next(iter(pauses), None), pace)

    def _ask(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        # Only reads: after a lost connection they are simply asked again. What stands under a key instead of what
        # should (fsck names it) is as good as nothing.
        with self._lock:
            try:
                return self._ask_once(commands)
            except BackendUnavailableError:
                return self._ask_once(commands)

    def _ask_once(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        return [None if isinstance(one, BackendDataError) else one for one in self._link.ask(commands)]


def pack_place(place: Place) -> str:
    """Give a place as a cursor: a text for callers, of no meaning to them."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def open_place(cursor: str) -> Place:
    """Give the place that a cursor names.

    Raises:
        ValidationError: It is none.
    """
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
    except (ValueError, msgspec.DecodeError):
        raise ValidationError(f"that is no cursor of a page: {cursor!r}") from None


def _number(answer: Any) -> int:
    try:
        return int(answer)
    except (TypeError, ValueError):
        return 0


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
