"""The broker: every change of a message's life passes through here, each as one atomic step in Redis."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alsek.core import envelope, record
from alsek.core.bulk import PATIENCE_S, renew_many, submit_many
from alsek.core.envelope import death_note, pack_error
from alsek.core.settlement import Failed, Plan, Released, Retried, Settlement, Succeeded, held_by, plan
from alsek.core.status.types import TaskStatus
from alsek.defaults import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_DELIVERIES,
    DEFAULT_RECEIPT_MS,
    DEFAULT_TTL,
    MAX_MESSAGE_BYTES,
)
from alsek.exceptions import (
    AlsekError,
    CrashLoopError,
    ExpiredError,
    LeaseLostError,
    MessageAlreadyExistsError,
    MessageDoesNotExistsError,
    RevokedError,
    ValidationError,
)
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.storage.backends.redis.verbs import (
    FOR_EVER,
    Claimed,
    Held,
    NewMessage,
    Policy,
    StoredResult,
    Verbs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import Backend
    from alsek.storage.backends.redis.link import Call

log = logging.getLogger(__name__)


class Broker:
    """Distributes messages: stores them, hands them out under leases, and settles them.

    Args:
        backend: Where messages live; a `RedisBackend`.
        dlq_ttl: How long dead letters are kept, ms; `None` or 0: a failed message leaves nothing behind.
        max_deliveries: How often a message may be handed out and kill its worker before it counts as poison.
        lease_ms: How long a claimed message stays ours without a renewal; workers renew at a third of it.
        receipt_ms: How long an ended message is remembered, so that a repeated call is recognised.
        aging_ms: Waiting time that weighs as much as one level of priority; `None`: priority always wins.
        max_message_bytes: Largest packed message accepted at submit.
    """

    def __init__(
        self,
        backend: Backend,
        dlq_ttl: int | None = DEFAULT_TTL,
        *,
        max_deliveries: int = DEFAULT_MAX_DELIVERIES,
        lease_ms: int = DEFAULT_LEASE_MS,
        receipt_ms: int = DEFAULT_RECEIPT_MS,
        aging_ms: int | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        if backend.IS_ASYNC:
            raise AttributeError("Broker needs a synchronous backend: use RedisBackend instead of AsyncRedisBackend")
        self.backend = backend
        self.dlq_ttl = dlq_ttl
        self.max_deliveries = max_deliveries
        self.lease_ms = lease_ms
        self.receipt_ms = receipt_ms
        self.aging_ms = aging_ms
        self.max_message_bytes = max_message_bytes
        self._verbs: tuple[tuple[int | None, ...], Verbs] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(backend={self.backend!r}, dlq_ttl={self.dlq_ttl})"

    def exists(self, message: Message) -> bool:
        """Tell whether a message is waiting or running."""
        return self._state(message.uuid) in ("r", "d", "l")

    def submit(self, message: Message, ttl: int | None = DEFAULT_TTL, *, kept_status_ms: int | None = None) -> None:
        """Store a message and make it available, in one step.

        Args:
            message: What to enqueue.
            ttl: ms after which a message that nobody ran ends as expired; `None`: never.
            kept_status_ms: Engine's own: a status tracker follows the message and keeps its last status so long
                (0: for ever).

        Raises:
            MessageAlreadyExistsError: A message with this uuid is alive.
            PayloadTooLargeError: It packs to more than `max_message_bytes`.
            SerializationError: An argument cannot be serialised.
            BackendFullError: Redis has no memory left; nothing was stored.
            BackendUnavailableError: Redis did not answer; submitting the same message again is safe.
        """
        new = self.new_message(message, ttl, kept_status_ms)
        call = self.verbs.submit(self.keys.partition(message.uuid), message.queue, (new,))
        (codes,) = self._execute([call])
        if codes[0] == Code.EXISTS:
            raise MessageAlreadyExistsError(f"{message.summary} exists already; submit a duplicate() instead")

    def ensure(self, message: Message, *, kept_status_ms: int | None = None) -> None:
        """Store a message unless that was done before: for uuids that say what they stand for."""
        new = self.new_message(message, None, kept_status_ms)
        self._execute([self.verbs.submit(self.keys.partition(message.uuid), message.queue, (new,), again=True)])

    def submit_many(
        self, messages: Iterable[Message], ttl: int | None = DEFAULT_TTL, *, kept_status_ms: int | None = None
    ) -> int:
        """Store many messages in a few round trips; each is stored or not, none half.

        Args:
            messages: Any iterable; it is taken in batches of 500 a queue and partition.
            ttl: As in `submit`.
            kept_status_ms: As in `submit`.

        Returns:
            How many were stored.

        Raises:
            MessageAlreadyExistsError: Some uuids are alive already (`.uuids` names them); all others were stored.
        """
        return submit_many(self, ((m.queue, self.new_message(m, ttl, kept_status_ms)) for m in messages))

    def revoke(self, message: Message, skip_if_running: bool = False) -> Code:
        """End a message as revoked; a running one is fenced off at once and its worker told to stop it.

        Returns:
            DONE while waiting, INTERRUPTED while running, REPEATED, EXISTS (left running), MISSING or STALE (ended).
        """
        call = self.verbs.revoke(
            self.keys.partition(message.uuid), message.queue, message.uuid, skip_if_running=skip_if_running
        )
        return Code(self._execute([call])[0])

    def remove(self, message: Message) -> None:
        """Delete a message wherever it is; a missing one is fine."""
        log.info("Removing %s...", message.summary)
        self._execute([self.verbs.remove(self.keys.partition(message.uuid), message.queue, message.uuid)])
        message.release_lock(not_linked_ok=True, target_backend=self.backend)
        log.info("Removed %s.", message.summary)

    def ack(
        self, message: Message, *, result: StoredResult | None = None, callback: tuple[str, NewMessage] | None = None
    ) -> None:
        """End a message as succeeded, with its result and callback, in one step.

        Without a lease (a message nobody claimed) this removes it, as it always did.

        Raises:
            LeaseLostError: The lease lapsed or the message was revoked; nothing was changed.
        """
        if message.lease is None:
            self.remove(message)
            return
        log.info("Removing %s...", message.summary)
        self._settle_one(Succeeded(message, result, callback))
        message.release_lock(not_linked_ok=True, target_backend=self.backend)
        log.info("Removed %s.", message.summary)

    def retry(self, message: Message, *, delay_ms: int | None = None) -> None:
        """Put a message back with one retry more; it waits for its backoff (or `delay_ms`).

        Raises:
            MessageDoesNotExistsError: It is gone.
            LeaseLostError: The lease lapsed or the message was revoked; nothing was changed.
        """
        message.increment_retries()
        if delay_ms is None:
            delay_ms = message.get_backoff_duration()
        log.info("Retrying %s in %s ms...", message.summary, format(delay_ms, ","))
        try:
            self._settle_one(Retried(message, delay_ms, pack_error(message.exception_details), self.pack(message)))
        except AlsekError:
            message.update(retries=message.retries - 1)
            raise

    def fail(self, message: Message, *, reason: str = "failed") -> None:
        """Move a message to the dead letters, in one step; repeating it is harmless.

        Raises:
            LeaseLostError: The lease lapsed or the message was revoked; nothing was changed.
        """
        log.info("Failing %s...", message.summary)
        settlement = Failed(message, reason, pack_error(message.exception_details), self.pack(message))
        (code,) = self.settle([settlement])
        if code in (Code.STALE, Code.REVOKED) and message.lease is not None:
            raise LeaseLostError(f"{message.summary} is no longer ours: {code.name.lower()}")
        message.release_lock(not_linked_ok=True, target_backend=self.backend)
        log.info("Failed %s.", message.summary)

    def release(self, message: Message, *, counts: bool = False, delay_ms: int = 0) -> Code:
        """Give a message back; only `counts` spends its delivery."""
        return self.settle([Released(message, counts, delay_ms)])[0]

    def renew(self, leases: Sequence[Held], queues: Sequence[str]) -> list[Code]:
        """Extend leases in one round trip, and tell Redis that a worker lives (also with no lease at all).

        Args:
            leases: What is held.
            queues: All queues of the worker; those of the leases among them.

        Returns:
            For each lease DONE, or MISSING, STALE or REVOKED when it is lost.
        """
        return renew_many(self, leases, queues)

    def settle(self, settlements: Sequence[Settlement]) -> list[Code]:
        """Carry out many settlements in one write; each is accepted or refused on its own."""
        made = self.plan(settlements)
        return made.codes(self._execute(made.calls))

    def in_dlq(self, message: Message) -> bool:
        """Tell whether a message is among the dead letters."""
        return self._state(message.uuid) == "x"

    def replay(self, message: Message) -> None:
        """Give a dead letter a new life: ready at once, its counts at zero.

        Raises:
            MessageDoesNotExistsError: It is not among the dead letters.
        """
        (code,) = self._execute([self.verbs.replay(self.keys.partition(message.uuid), message.queue, message.uuid)])
        if not Code(code).accepted:
            raise MessageDoesNotExistsError(f"{message.summary} is not among the dead letters")

    def find(self, uuid: str) -> Message | None:
        """Give the message with this uuid, wherever it is; `None` when it has ended or never was."""
        fields = self.redis.record(uuid)
        return envelope.open_record(uuid, fields, self.backend.serializer) if b"b" in fields else None

    def sync_from_backend(self, message: Message) -> Message:
        """Give the message as it is stored now.

        Raises:
            KeyError: It is neither queued nor among the dead letters.
        """
        found = self.find(message.uuid)
        if found is None:
            raise KeyError(f"{message.summary} is neither in its queue nor among the dead letters")
        return found

    def sync_to_backend(self, message: Message) -> None:
        """Write a message's fields back without moving it; the holder of an old lease changes nothing.

        Raises:
            MessageDoesNotExistsError: It is neither queued nor among the dead letters.
            LeaseLostError: The message carries a lease that has been lost.
        """
        error = pack_error(message.exception_details) if message.exception_details is not None else b""
        call = self.verbs.update(
            self.keys.partition(message.uuid),
            held_by(message),
            self.pack(message),
            message.priority,
            message.retries,
            error,
        )
        self._require(message, Code(self._execute([call])[0]))

    @property
    def redis(self) -> RedisBackend:
        """The backend, which has to be a Redis one for everything that delivers."""
        if not isinstance(self.backend, RedisBackend):
            raise TypeError(f"messages are delivered through Redis: {type(self.backend).__name__} is no RedisBackend")
        return self.backend

    @property
    def keys(self) -> Any:
        """Key names of the backend."""
        return self.redis.keys

    @property
    def verbs(self) -> Verbs:
        """The verbs under this broker's present settings."""
        settings = (self.dlq_ttl, self.lease_ms, self.max_deliveries, self.receipt_ms, self.aging_ms)
        if self._verbs is None or self._verbs[0] != settings:
            dlq_ms = FOR_EVER if self.dlq_ttl is not None and self.dlq_ttl < 0 else self.dlq_ttl or 0
            policy = Policy(dlq_ms, self.lease_ms, self.max_deliveries, self.receipt_ms, self.aging_ms)
            forward = self.backend.serializer.forward
            statuses = {s.name: str(forward({"status": s.name, "details": None})).encode() for s in TaskStatus}
            self._verbs = (
                settings,
                Verbs(
                    self.keys,
                    policy,
                    statuses,
                    crash_error=death_note(CrashLoopError("its workers kept dying while they ran it")),
                    expiry_error=death_note(ExpiredError("nobody ran it before its ttl was over")),
                    revocation_error=death_note(RevokedError("Task Revoked")),
                ),
            )
        return self._verbs[1]

    def plan(self, settlements: Sequence[Settlement]) -> Plan:
        """Give the calls that carry out settlements, for a caller with a link of its own."""
        return plan(self.verbs, settlements)

    def pack(self, message: Message) -> bytes:
        """Pack a message's body, or say why it cannot be."""
        return record.pack(message, self.backend.serializer, max_bytes=self.max_message_bytes)

    def new_message(self, message: Message, ttl: int | None, kept_status_ms: int | None) -> NewMessage:
        """Give a message the form in which it is submitted."""
        if ttl is not None and ttl <= 0:
            raise ValidationError(
                f"ttl has to be a positive number of ms, or None for no end (options: expires): {ttl!r}"
            )
        return NewMessage(
            message.uuid,
            message.task_name,
            self.pack(message),
            message.priority,
            message.delay,
            "" if ttl is None else ttl,
            "" if kept_status_ms is None else kept_status_ms,
        )

    def message_of(self, claimed: Claimed, token: str, deadline: float) -> Message:
        """Rebuild a message that a claim handed out; see `envelope.open_claimed`."""
        return envelope.open_claimed(claimed, token, deadline, self.backend.serializer)

    def _settle_one(self, settlement: Settlement) -> None:
        self._require(settlement.message, self.settle([settlement])[0])

    def _require(self, message: Message, code: Code) -> None:
        if code == Code.MISSING or (code == Code.STALE and message.lease is None):
            raise MessageDoesNotExistsError(f"{message.summary} does not exist (any more)")
        if not code.accepted:
            raise LeaseLostError(f"{message.summary} is no longer ours: {code.name.lower()}")

    def _state(self, uuid: str) -> str:
        return self.redis.record(uuid).get(b"s", b"").decode()

    def _execute(self, calls: Sequence[Call], patience: float = PATIENCE_S) -> list[Any]:
        return self.redis.links.execute(calls, patience=patience)
