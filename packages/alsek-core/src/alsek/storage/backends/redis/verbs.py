"""Builds the calls of the verbs and reads their replies; touches no socket.

A sync link, an asyncio link and the tests' model all run the same calls. One instance knows the key names and the
policy (leases, dead letters, aging) of one broker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from alsek.defaults import DEFAULT_LEASE_MS, DEFAULT_MAX_DELIVERIES, DEFAULT_RECEIPT_MS, DEFAULT_TTL, FORESIGHT_MS
from alsek.storage.backends.redis.link import Argument, Call
from alsek.storage.backends.redis.notes import ending_of, note_of
from alsek.storage.backends.redis.scripts import script
from alsek.storage.backends.redis.submit_verbs import submit
from alsek.storage.keys import PRIORITY_WEIGHT, Keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Messages in one call of a script: keeps every script below a few milliseconds.
MOST_IN_A_CALL: Final = 500

#: Dead letters that never expire.
FOR_EVER: Final = -1


@dataclass(frozen=True, slots=True)
class Policy:
    """What a broker decides for all its messages.

    Attributes:
        dlq_ms: How long dead letters are kept; 0: there are none; -1: for ever.
        lease_ms: How long a claim holds without a renewal.
        max_deliveries: Claims that a message may use up by killing its workers.
        receipt_ms: How long an ended message is remembered, so that a repeated call is recognised.
        aging_ms: Time that weighs as much as one level of priority; `None`: priority always wins.
    """

    dlq_ms: int = DEFAULT_TTL
    lease_ms: int = DEFAULT_LEASE_MS
    max_deliveries: int = DEFAULT_MAX_DELIVERIES
    receipt_ms: int = DEFAULT_RECEIPT_MS
    aging_ms: int | None = None

    @property
    def weight(self) -> int:
        """How much one level of priority weighs in the score of a ready message."""
        return PRIORITY_WEIGHT if self.aging_ms is None else self.aging_ms

    @property
    def silence_ms(self) -> int:
        """Silence of all workers that reads as an outage.

        Somebody speaks at least every third of a lease, and then no lease lapses for two thirds of one: a silence
        between the two is noticed before it can have cost a live worker its lease, with time to renew afterwards.
        """
        return self.lease_ms * 11 // 20


class NewMessage(NamedTuple):
    """A message on its way in: the seven arguments that the scripts expect, times in ms, "" for never / untracked."""

    uuid: str
    task_name: str
    body: bytes
    priority: int = 0
    delay_ms: int = 0
    ttl_ms: int | str = ""
    kept_status_ms: int | str = ""


class Held(NamedTuple):
    """A lease as its holder names it."""

    queue: str
    uuid: str
    token: str


class Report(NamedTuple):
    """How far a message has come that its holder runs; the status is told to who follows it."""

    held: Held
    progress: bytes
    status: str | bytes


class StoredResult(NamedTuple):
    """A result to be stored with an ack; the keys are given without their tag."""

    key: str
    text: bytes | str
    ttl_ms: int
    kids_key: str = ""


class Ack(NamedTuple):
    """One finished message."""

    held: Held
    result: StoredResult | None = None
    callback: tuple[str, NewMessage] | None = None


class Claimed(NamedTuple):
    """One message as a claim hands it out."""

    queue: str
    uuid: str
    task_name: str
    body: bytes
    priority: int
    retries: int
    deliveries: int
    fence: int
    error: bytes


class Hand(NamedTuple):
    """What a claim brought: messages, when to look again (ms; `None`: nothing is due), and queues left to others."""

    now_ms: int
    next_ms: int | None
    offsets: list[int]
    messages: list[Claimed]
    others: frozenset[str] = frozenset()


class Interest(NamedTuple):
    """A queue to claim from; `tasks` narrows it, `offset` is where the last look at a narrowed queue ended."""

    queue: str
    tasks: tuple[str, ...] = ()
    offset: int = 0


class Verbs:
    """The verbs of one namespace under one policy.

    Args:
        keys: Names of the keys.
        policy: See `Policy`.
        statuses: Text of each engine-driven status, by name (as the trackers' serializer writes it).
        crash_error, expiry_error, revocation_error: Details stored with messages that die without an exception.
    """

    def __init__(
        self,
        keys: Keys,
        policy: Policy,
        statuses: dict[str, bytes],
        crash_error: bytes,
        expiry_error: bytes,
        revocation_error: bytes,
    ) -> None:
        self.keys = keys
        self.policy = policy
        self.statuses = statuses
        self._crash_error = crash_error
        self._expiry_error = expiry_error
        self._revocation_error = revocation_error

    def submit(self, partition: int, queue: str, messages: Sequence[NewMessage], *, again: bool = False) -> Call:
        """Store new messages of one queue. Reply: a code for each."""
        return submit(self, partition, queue, messages, again=again)

    def claim(self, partition: int, interests: Sequence[Interest], token: str, consumer: str, want: int) -> Call:
        """Lease up to `want` messages to `token`. Reply: see `read_claim`."""
        policy = self.policy
        status = self.statuses
        args: list[Argument] = [
            token, want, policy.lease_ms, policy.max_deliveries, policy.weight, policy.dlq_ms, policy.silence_ms, "0",
            consumer, policy.receipt_ms, status["RUNNING"], status["FAILED"], status["EXPIRED"],
            self._crash_error, self._expiry_error,
        ]  # fmt: skip
        for interest in interests:
            args += (interest.offset, len(interest.tasks), *interest.tasks)
        return Call(script("claim"), self._keys(partition, [i.queue for i in interests]), args, again=7)

    @staticmethod
    def read_claim(reply: list[bytes | int], interests: Sequence[Interest]) -> Hand:
        """Read the reply of `claim`."""
        messages: list[Claimed] = []
        offsets: list[int] = []
        others: set[str] = set()
        at = 3
        for interest, told in zip(interests, _text(reply[2]).split(), strict=True):
            offset, count, rest = told.split(":")
            offsets.append(int(offset))
            if rest:
                others.add(interest.queue)
            queue, end = interest.queue, at + 4 * int(count)
            for i in range(at, end, 4):
                raw_uuid, raw_name, body, past = reply[i : i + 4]
                # What is no UTF-8 must not hide the other messages: who opens it refuses it.
                uuid: str = raw_uuid.decode("utf-8", _ESCAPE)  # type: ignore[union-attr]  # a text
                task_name: str = raw_name.decode("utf-8", _ESCAPE)  # type: ignore[union-attr]  # a text
                messages.append(Claimed(queue, uuid, task_name, body, *_past(past)))  # type: ignore[arg-type]  # a text
            at = end
        next_ms = int(reply[1])
        return Hand(int(reply[0]), None if next_ms < 0 else next_ms, offsets, messages, frozenset(others))

    def renew(self, partition: int, queues: Sequence[str], leases: Iterable[Held]) -> Call:
        """Extend leases. Reply: a code for each."""
        number = {queue: i for i, queue in enumerate(queues, 1)}
        args: list[Argument] = [self.policy.lease_ms, self.policy.silence_ms]
        for held in leases:
            args += (number[held.queue], held.uuid, held.token)
        return Call(script("renew"), self._keys(partition, queues), args)

    def progress(self, partition: int, reports: Iterable[Report]) -> Call:
        """Note how far messages have come. Reply: a code for each."""
        queues: dict[str, int] = {}
        args: list[Argument] = []
        for (queue, uuid, token), progress, status in reports:
            args += (queues.setdefault(queue, len(queues) + 1), uuid, token, progress, status)
        return Call(script("progress"), self._keys(partition, queues), args)

    def ack(self, partition: int, acks: Sequence[Ack]) -> Call:
        """End finished messages. Reply: a code for each, in the order that `ack_order` gives."""
        groups: dict[tuple[str, str], list[str]] = {}
        for (queue, uuid, token), result, callback in acks:
            if result is None and callback is None:
                groups.setdefault((queue, token), []).append(uuid)
        return self.ack_groups(partition, groups, [ack for ack in acks if ack.result or ack.callback])

    def ack_groups(
        self, partition: int, groups: Mapping[tuple[str, str], Sequence[str]], rest: Sequence[Ack] = ()
    ) -> Call:
        """End finished messages: those that leave nothing behind by queue and token, then the rest.

        Reply: a code for each, in this order.
        """
        policy = self.policy
        queues: dict[str, int] = {}
        args: list[Argument] = [
            policy.receipt_ms, policy.weight, self.statuses["SUCCEEDED"], self.statuses["SUBMITTED"], len(groups)
        ]  # fmt: skip
        for (queue, token), uuids in groups.items():
            args += (queues.setdefault(queue, len(queues) + 1), token, len(uuids), *uuids)
        for (queue, uuid, token), result, callback in rest:
            qi = queues.setdefault(queue, len(queues) + 1)
            args += (qi, uuid, token, (result is not None) + 2 * (callback is not None))
            if result is not None:
                args += result
            if callback is not None:
                queue_of_callback, new = callback
                args += (queues.setdefault(queue_of_callback, len(queues) + 1), *new)
        return Call(script("ack"), self._keys(partition, queues), args)

    @staticmethod
    def ack_order(acks: Sequence[Ack]) -> list[int]:
        """Give the positions of acks in the order in which the reply of `ack` names their codes."""
        groups: dict[tuple[str, str], list[int]] = {}
        rest: list[int] = []
        for position, ((queue, _, token), result, callback) in enumerate(acks):
            if result is None and callback is None:
                groups.setdefault((queue, token), []).append(position)
            else:
                rest.append(position)
        return [position for group in groups.values() for position in group] + rest

    def retry(self, partition: int, held: Held, delay_ms: int, error: bytes, body: bytes = b"") -> Call:
        """Put a failed message back. Reply: a code."""
        args = (*held[1:], delay_ms, self.policy.weight, error, body, self.statuses["RETRYING"], note_of(error))
        return Call(script("retry"), self._keys(partition, (held.queue,)), args)

    def fail(self, partition: int, held: Held, reason: str, error: bytes, body: bytes = b"") -> Call:
        """Move a message to the dead letters. Reply: a code."""
        policy = self.policy
        args = (
            *held[1:], reason, error, policy.dlq_ms, policy.receipt_ms, body, self.statuses["FAILED"], note_of(error),
        )  # fmt: skip
        return Call(script("fail"), self._keys(partition, (held.queue,)), args)

    def release(
        self,
        partition: int,
        leases: Sequence[Held],
        *,
        counts: bool = False,
        delay_ms: int = 0,
        reason: str = "crash_loop",
        error: bytes | None = None,
    ) -> Call:
        """Give messages back; `counts` keeps the delivery on their account. Reply: a code for each."""
        policy = self.policy
        status = self.statuses
        if error is None:
            error = self._crash_error if counts else b""
        how = ending_of(reason, delay_ms, counts=counts)
        args: list[Argument] = [
            policy.weight, "1" if counts else "0", delay_ms, policy.max_deliveries, policy.dlq_ms, policy.receipt_ms,
            status["SUBMITTED"], status["FAILED"], reason, error, how, note_of(error) if how else "",
        ]  # fmt: skip
        queues: dict[str, int] = {}
        for held in leases:
            args += (queues.setdefault(held.queue, len(queues) + 1), held.uuid, held.token)
        return Call(script("release"), self._keys(partition, queues), args)

    def revoke(self, partition: int, queue: str, uuid: str, *, skip_if_running: bool = False) -> Call:
        """End a message as revoked. Reply: a code."""
        policy = self.policy
        args = (
            uuid, "1" if skip_if_running else "0", policy.dlq_ms, policy.receipt_ms, self._revocation_error,
            self.statuses["FAILED"], self.keys.worker_channel(""), FORESIGHT_MS,
        )  # fmt: skip
        return Call(script("revoke"), self._keys(partition, (queue,)), args)

    def remove(self, partition: int, queue: str, uuid: str) -> Call:
        """Delete a message. Reply: a code."""
        return Call(script("remove"), self._keys(partition, (queue,)), (uuid,))

    def update(self, partition: int, held: Held, body: bytes, priority: int, retries: int, error: bytes) -> Call:
        """Write a message's fields back in place. Reply: a code."""
        args = (held.uuid, held.token, body, priority, retries, error, self.policy.weight)
        return Call(script("update"), self._keys(partition, (held.queue,)), args)

    def replay(self, partition: int, queue: str, uuid: str) -> Call:
        """Make a dead letter ready again. Reply: a code."""
        args = (uuid, self.policy.weight, self.statuses["SUBMITTED"], "0")
        return Call(script("replay"), self._keys(partition, (queue,)), args, again=3)

    def _keys(self, partition: int, queues: Iterable[str]) -> list[str]:
        keys = [self.keys.tag(partition)]
        for queue in queues:
            keys += self.keys.of_queue(queue, partition)
        return keys


def _text(value: bytes | int) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _past(told: bytes | int) -> tuple[int, int, int, int, bytes]:
    if not told:
        return _FIRST
    priority, retries, deliveries, fence, details = told.split(b" ", 4)  # type: ignore[union-attr]  # a text
    return int(priority), int(retries), int(deliveries), int(fence), details


_ESCAPE: Final = "surrogateescape"

#: Priority, retries, deliveries, fence and error of a first delivery.
_FIRST: Final = (0, 0, 1, 1, b"")
