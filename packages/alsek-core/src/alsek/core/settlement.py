"""How a message that somebody holds is settled: one value for each way, and one write for many of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import MOST_IN_A_CALL, Ack, Held, NewMessage, StoredResult, Verbs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.redis.link import Call


class Succeeded(NamedTuple):
    """The task returned: end the message, store its result, submit its callback.

    Attributes:
        message: What was run.
        result: To be stored in the same step, or `None`.
        callback: Queue and message to be submitted in the same step; it lies in the same partition.
    """

    message: Message
    result: StoredResult | None = None
    callback: tuple[str, NewMessage] | None = None

    @property
    def leaves_nothing(self) -> bool:
        """Whether only the end itself is to be written."""
        return self.result is None and self.callback is None


class Retried(NamedTuple):
    """The task failed and is to be tried again after `delay_ms`."""

    message: Message
    delay_ms: int
    error: bytes
    body: bytes = b""


class Failed(NamedTuple):
    """The task failed for good: the message moves to the dead letters."""

    message: Message
    reason: str
    error: bytes
    body: bytes = b""


class Released(NamedTuple):
    """The message goes back unharmed, or (`counts`) with its delivery on the account.

    Attributes:
        message: What is given back.
        counts: Whether the delivery is spent; when all are, the message dies of `reason`.
        delay_ms: How long it stays out of sight.
        reason: Of its death, should it die.
        error: Details stored with it; `None`: the crash loop's when it counts.
    """

    message: Message
    counts: bool = False
    delay_ms: int = 0
    reason: str = "crash_loop"
    error: bytes | None = None


_T = TypeVar("_T")

_CODES: Final = {int(code): code for code in Code}

Settlement = Succeeded | Retried | Failed | Released


class Plan(NamedTuple):
    """Calls that carry out settlements, and for each call the settlements it answers for, by position."""

    calls: list[Call]
    positions: list[list[int]]

    def add(self, call: Call, positions: list[int]) -> None:
        """Add a call that answers for the settlements at these positions, in this order."""
        self.calls.append(call)
        self.positions.append(positions)

    def codes(self, replies: Sequence[Any]) -> list[Code]:
        """Give the code of each settlement from the replies of the calls."""
        codes = [Code.MISSING] * sum(map(len, self.positions))
        for positions, reply in zip(self.positions, replies, strict=True):
            answers = reply if isinstance(reply, list) else [reply]
            for position, answer in zip(positions, answers, strict=True):
                codes[position] = _CODES[answer]
        return codes


def plan(verbs: Verbs, settlements: Sequence[Settlement]) -> Plan:
    """Group settlements into as few calls as their partitions allow.

    Acks of one partition share a call, and so do plain releases; a retry or a failure is a call of its own.
    All of them fit in one write.
    """
    made = Plan([], [])
    acks: dict[int, tuple[list[Ack], list[int]]] = {}
    plain: dict[tuple[int, str, str], tuple[list[str], list[int]]] = {}
    releases: dict[int, tuple[list[Held], list[int]]] = {}
    for i, settlement in enumerate(settlements):
        message = settlement.message
        partition = verbs.keys.partition(message.uuid)
        lease = message.lease
        if settlement.__class__ is Succeeded and lease is not None and settlement.leaves_nothing:
            # the usual one, and there are many of it
            key = (partition, message.queue, lease.token)
            group = plain.get(key)
            if group is None:
                group = plain[key] = ([], [])
            group[0].append(message.uuid)
            group[1].append(i)
        elif isinstance(settlement, Succeeded):
            batch, positions = acks.setdefault(partition, ([], []))
            batch.append(Ack(held_by(message), settlement.result, settlement.callback))
            positions.append(i)
        elif isinstance(settlement, Released) and not settlement.counts and not settlement.delay_ms:
            back, positions = releases.setdefault(partition, ([], []))
            back.append(held_by(message))
            positions.append(i)
        else:
            made.add(_call_of_one(verbs, partition, settlement), [i])
    for (partition, queue, token), (uuids, positions) in plain.items():
        for some, where in zip(_chunks(uuids), _chunks(positions), strict=True):
            made.add(verbs.ack_groups(partition, {(queue, token): some}), where)
    for partition, (batch, positions) in acks.items():
        for chunk, where in zip(_chunks(batch), _chunks(positions), strict=True):
            made.add(verbs.ack(partition, chunk), [where[j] for j in verbs.ack_order(chunk)])
    for partition, (back, positions) in releases.items():
        for held, where in zip(_chunks(back), _chunks(positions), strict=True):
            made.add(verbs.release(partition, held), where)
    return made


def _call_of_one(verbs: Verbs, partition: int, settlement: Settlement) -> Call:
    held = held_by(settlement.message)
    match settlement:
        case Retried(_, delay_ms, error, body):
            return verbs.retry(partition, held, delay_ms, error, body)
        case Failed(_, reason, error, body):
            return verbs.fail(partition, held, reason, error, body)
        case Released(_, counts, delay_ms, reason, error):
            return verbs.release(partition, [held], counts=counts, delay_ms=delay_ms, reason=reason, error=error)
        case Succeeded(_, result, callback):
            return verbs.ack(partition, [Ack(held, result, callback)])


def _chunks(values: list[_T]) -> list[list[_T]]:
    return [values[start : start + MOST_IN_A_CALL] for start in range(0, len(values), MOST_IN_A_CALL)]


def held_by(message: Message) -> Held:
    """Name a message as the verbs do: with the token of its lease, or empty for the administrator."""
    lease = message.lease
    return Held(message.queue, message.uuid, lease.token if lease is not None else "")
