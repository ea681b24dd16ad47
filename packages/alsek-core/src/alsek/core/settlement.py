"""How a message that somebody holds is settled: one value for each way, and one write for many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import MOST_IN_A_CALL, Ack, Held, NewMessage, StoredResult, Verbs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.redis.link import Call


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task returned: end the message, store its result, submit its callback.

    Attributes:
        message: What was run.
        result: To be stored in the same step, or `None`.
        callback: Queue and message to be submitted in the same step; it lies in the same partition.
    """

    message: Message
    result: StoredResult | None = None
    callback: tuple[str, NewMessage] | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """The task failed and is to be tried again after `delay_ms`."""

    message: Message
    delay_ms: int
    error: bytes
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """The task failed for good: the message moves to the dead letters."""

    message: Message
    reason: str
    error: bytes
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Released:
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


Settlement = Succeeded | Retried | Failed | Released


class Plan(NamedTuple):
    """Calls that carry out settlements, and for each call the settlements it answers for, by position."""

    calls: list[Call]
    positions: list[list[int]]

    def codes(self, replies: Sequence[Any]) -> list[Code]:
        """Give the code of each settlement from the replies of the calls."""
        codes: dict[int, Code] = {}
        for positions, reply in zip(self.positions, replies, strict=True):
            answers = reply if isinstance(reply, list) else [reply]
            for position, answer in zip(positions, answers, strict=True):
                codes[position] = Code(int(answer))
        return [codes[i] for i in range(len(codes))]


def plan(verbs: Verbs, settlements: Sequence[Settlement]) -> Plan:
    """Group settlements into as few calls as their partitions allow.

    Acks of one partition share a call, and so do plain releases; a retry or a failure is a call of its own.
    All of them fit in one write.
    """
    made = Plan([], [])
    acks: dict[int, tuple[list[Ack], list[int]]] = {}
    releases: dict[int, tuple[list[Held], list[int]]] = {}
    for i, settlement in enumerate(settlements):
        message = settlement.message
        held = held_by(message)
        partition = verbs.keys.partition(message.uuid)
        match settlement:
            case Succeeded():
                batch, positions = acks.setdefault(partition, ([], []))
                batch.append(Ack(held, settlement.result, settlement.callback))
                positions.append(i)
            case Released(counts=False, delay_ms=0):
                group, positions = releases.setdefault(partition, ([], []))
                group.append(held)
                positions.append(i)
            case Released():
                made.calls.append(
                    verbs.release(
                        partition,
                        [held],
                        counts=settlement.counts,
                        delay_ms=settlement.delay_ms,
                        reason=settlement.reason,
                        error=settlement.error,
                    )
                )
                made.positions.append([i])
            case Retried():
                made.calls.append(verbs.retry(partition, held, settlement.delay_ms, settlement.error, settlement.body))
                made.positions.append([i])
            case Failed():
                made.calls.append(verbs.fail(partition, held, settlement.reason, settlement.error, settlement.body))
                made.positions.append([i])
    for partition, (batch, positions) in acks.items():
        for start in range(0, len(batch), MOST_IN_A_CALL):
            chunk = batch[start : start + MOST_IN_A_CALL]
            made.calls.append(verbs.ack(partition, chunk))
            made.positions.append([positions[start + i] for i in verbs.ack_order(chunk)])
    for partition, (group, positions) in releases.items():
        for start in range(0, len(group), MOST_IN_A_CALL):
            made.calls.append(verbs.release(partition, group[start : start + MOST_IN_A_CALL]))
            made.positions.append(positions[start : start + MOST_IN_A_CALL])
    return made


def held_by(message: Message) -> Held:
    """Name a message as the verbs do: with the token of its lease, or empty for the administrator."""
    lease = message.lease
    return Held(message.queue, message.uuid, lease.token if lease is not None else "")
