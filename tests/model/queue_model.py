"""What each verb does, in plain Python: the specification that the Lua scripts are compared with.

The verbs take what `alsek.storage.backends.redis.verbs.Verbs` takes, plus the time, and answer the same codes.

Readings chosen where the design leaves room, each the safer one:

1. A lease ends when somebody takes it away, not when its deadline passes: until then its holder may still settle.
2. A lease that is taken away (it lapsed) takes its token with it: whatever the former holder says later is stale.
3. An id whose record is missing, unreadable or in another state than its index says is dropped from the index;
   nothing else changes and no other message suffers.
4. A number of a record that cannot be read counts as absent.
5. Only a dead record is deleted when a dead letter's time is over.
6. A claim that brings less than wanted while messages are still ready says "look again at once".
7. Silence is judged by the distance of the last sign of life, both ways: a clock that jumped back is an outage too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from alsek.defaults import FORESIGHT_MS
from alsek.storage.backends.redis.notes import note_of
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import (
    Ack,
    Claimed,
    Hand,
    Held,
    Interest,
    NewMessage,
    Policy,
    Report,
    StoredResult,
)
from alsek.storage.keys import EPOCH_MS
from model.partition import LIVE, Kept, Partition, Receipt, Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alsek.storage.backends.redis.unique_verbs import Unique

#: Ids that one claim promotes or recovers, and one renewal trims, per queue.
STEP: Final = 100
#: How far one claim looks for the tasks it wants.
WINDOW: Final = 500


class QueueModel:
    """One partition under one policy, with a method per verb.

    Args:
        policy: As for `Verbs`.
        statuses: Text of each status by name; an empty text is not told.
        crash_error, expiry_error, revocation_error: Details stored with messages that die without an exception.
        worker_channel: Prefix of the channels on which workers hear of revocations.
    """

    def __init__(
        self,
        policy: Policy,
        statuses: Mapping[str, bytes],
        crash_error: bytes = b"",
        expiry_error: bytes = b"",
        revocation_error: bytes = b"",
        worker_channel: str = "alsek:worker:",
        tag: str = "{alsek:0}:",
    ) -> None:
        self.policy = policy
        self.partition = Partition()
        #: What was published, in order: (channel, payload).
        self.published: list[tuple[str, str]] = []
        self._statuses = {name: _text(text) for name, text in statuses.items()}
        self._crash_error = _text(crash_error)
        self._expiry_error = _text(expiry_error)
        self._revocation_error = _text(revocation_error)
        self._worker_channel = worker_channel
        self._tag = tag

    # The verbs.

    def submit(self, now: int, queue: str, messages: Sequence[NewMessage], *, again: bool = False) -> list[int]:
        """Store new messages.

        A uuid that is alive or dead already is refused (0), or taken for the earlier, unanswered call's work when
        this is its repeat (2). The receipt of an ended message gives way, except to a repeat.
        """
        self.partition.forget(now)
        self.partition.names.add(queue)
        codes = []
        for new in messages:
            known = self.partition.records.get(new.uuid)
            if known is not None and again:
                codes.append(Code.REPEATED)
            elif known is not None and not isinstance(known, Receipt):
                codes.append(Code.EXISTS)
            else:
                self._create(now, queue, new)
                codes.append(Code.DONE)
        return _plain(codes)

    def submit_unique(
        self, now: int, queue: str, messages: Sequence[tuple[NewMessage, Unique]], *, again: bool = False
    ) -> list[int | str]:
        """Store new messages whose keys nobody holds; a duplicate is answered with the uuid of who does.

        A key is held while its message waits or runs, and until the end of its window unless that failed. It has an
        expiry only once its message has ended.
        """
        self.partition.forget(now)
        self.partition.names.add(queue)
        answers: list[int | str] = []
        for new, unique in messages:
            known = self.partition.records.get(new.uuid)
            holder = self._holder(unique.digest, now)
            if known is not None and again:
                answers.append(int(Code.REPEATED))
            elif known is not None and not isinstance(known, Receipt):
                answers.append(int(Code.EXISTS))
            elif holder is not None:
                answers.append(holder)
            else:
                self._create(now, queue, new)
                record = self.partition.record(new.uuid)
                assert record is not None
                record.digest = unique.digest
                self.partition.kept[f"u:{unique.digest}"] = Kept(f"{new.uuid} {now + unique.window_ms}")
                answers.append(int(Code.DONE))
        return answers

    def claim(
        self, now: int, interests: Sequence[Interest], token: str, consumer: str, want: int, *, again: bool = False
    ) -> Hand:
        """Lease the most urgent ready messages of several queues, in order of the queues, to `token`.

        A repeat finds the receipt of the call it repeats and answers the messages whose leases still stand, and
        changes nothing. Otherwise, for every queue: what is due becomes ready, what has lapsed is recovered, and
        messages are popped until `want` are in the hand. A message past its time dies instead (`expired`).
        Of a paused queue only what has lapsed is recovered.
        """
        partition = self.partition
        partition.forget(now)
        receipt = partition.kept.get(f"c:{consumer}")
        if again and receipt is not None and str(receipt.value).startswith(f"{token} "):
            return Hand(now, None, [0] * len(interests), self._held_by(token, str(receipt.value), interests))

        grace = self._tick(now)
        closed = {interest.queue for interest in interests if f"pause:{interest.queue}" in partition.meta}
        hand: list[Claimed] = []
        taken: dict[int, list[str]] = {}
        offsets = []
        for number, interest in enumerate(interests, 1):
            if interest.queue not in closed:
                self._promote(now, interest.queue)
            if now >= grace:
                self._recover(now, interest.queue)
            popped, offset = (
                ([], interest.offset) if interest.queue in closed else self._pop(interest, want - len(hand))
            )
            offsets.append(offset)
            for uuid in popped:
                record = partition.record(uuid)
                if record is None or not record.readable or record.state != "r":
                    continue
                if record.expired(now):
                    self._bury(
                        now, interest.queue, uuid, record, "expired", "E", self._expiry_error, "EXPIRED", token=""
                    )
                    continue
                record.deliveries += 1
                record.fence += 1
                record.token = token
                record.state = "l"
                record.claimed_at = str(now)
                partition.count(interest.queue, "c")
                partition.queue(interest.queue).leases[uuid] = now + self.policy.lease_ms
                self._tell(now, interest.queue, uuid, record, "RUNNING")
                taken.setdefault(number, []).append(uuid)
                hand.append(_claimed(interest.queue, uuid, record))
        if taken:
            lines = [" ".join([str(number), *uuids]) for number, uuids in taken.items()]
            partition.kept[f"c:{consumer}"] = Kept(f"{token} " + "\n".join(lines), now + self.policy.receipt_ms)
        full = len(hand) >= want
        others = frozenset() if full else self._leave_to_others(interests, closed)
        return Hand(now, self._next(now, interests, grace, closed, others, full=full), offsets, hand, others)

    def renew(self, now: int, queues: Sequence[str], leases: Sequence[Held]) -> list[int]:
        """Extend leases that their callers still hold, and delete dead letters whose time is over."""
        self.partition.forget(now)
        self._tick(now)
        codes = []
        for held in leases:
            record, code = self._guard(held.uuid, held.token)
            if record is not None and record.state != "l":
                code = Code.STALE
            elif record is not None:
                self.partition.queue(held.queue).leases[held.uuid] = now + self.policy.lease_ms
            codes.append(code)
        for queue in queues:
            dead = self.partition.queue(queue).dead
            for uuid in [uuid for uuid in _in_order(dead) if dead[uuid] <= now][:STEP]:
                del dead[uuid]
                record = self.partition.record(uuid)
                if record is not None and record.state == "x":
                    del self.partition.records[uuid]
        return _plain(codes)

    def progress(self, now: int, reports: Sequence[Report]) -> list[int]:
        """Note how far running messages have come, and tell it to who follows them; only their holders may."""
        self.partition.forget(now)
        codes = []
        for held, progress, status in reports:
            record, code = self._guard(held.uuid, held.token)
            if record is not None and record.state != "l":
                code = Code.STALE
            elif record is not None:
                record.progress = _text(progress)
                self._tell(now, held.queue, held.uuid, record, _text(status))
            codes.append(code)
        return _plain(codes)

    def ack(self, now: int, acks: Sequence[Ack]) -> list[int]:
        """End finished messages: result, status, callback and the end of the lease in one step.

        The callback is submitted unless its uuid is known: however often the step is tried, it is born once.
        All messages of the call are judged before the first is written; each uuid stands in it once.
        """
        self.partition.forget(now)
        judged = [(*ack, *self._guard(ack.held.uuid, ack.held.token, repeated="S")) for ack in acks]
        for held, result, callback, record, _ in judged:
            if record is None:
                continue
            claimed_at = (record.claimed_at or "") if record.state == "l" else ""
            self._unindex(held.queue, held.uuid, record)
            self._free_key(now, held.uuid, record, succeeded=True)
            self._close(now, held.uuid, "S", held.token, claimed_at)
            self.partition.count(held.queue, "k")
            if result is not None:
                self._store(now, held.uuid, result)
            self._tell(now, held.queue, held.uuid, record, "SUCCEEDED", ended=True)
            if callback is not None and callback[1].uuid not in self.partition.records:
                self.partition.names.add(callback[0])
                self._create(now, *callback)
        return _plain([code for *_, code in judged])

    def retry(self, now: int, held: Held, delay_ms: int, error: bytes, body: bytes = b"") -> int:
        """Put a failed message back; the attempt counts as a retry.

        With an empty token it is the administrator's, who may retry any live message and whose repeat is a new retry.
        """
        self.partition.forget(now)
        record, code = self._guard(held.uuid, held.token, repeated="rd" if held.token else "")
        if record is None:
            return int(code)
        self._chronicle(record, "retried", note_of(error))
        self.partition.count(held.queue, "r")
        self._unindex(held.queue, held.uuid, record)
        record.retries += 1
        record.error = _text(error)
        if body:
            record.body = _text(body)
        self._place(now, held.queue, held.uuid, record, delay_ms)
        self._tell(now, held.queue, held.uuid, record, "RETRYING")
        return int(Code.DONE)

    def fail(self, now: int, held: Held, reason: str, error: bytes, body: bytes = b"") -> int:
        """End a message as failed: it moves to the dead letters."""
        self.partition.forget(now)
        record, code = self._guard(held.uuid, held.token, repeated="xF")
        if record is None:
            return int(code)
        self._chronicle(record, "failed", note_of(error))
        self._unindex(held.queue, held.uuid, record)
        if body:
            record.body = _text(body)
        self._bury(now, held.queue, held.uuid, record, reason, "F", _text(error), token=held.token)
        return int(Code.DONE)

    def release(
        self,
        now: int,
        leases: Sequence[Held],
        *,
        counts: bool = False,
        delay_ms: int = 0,
        reason: str = "crash_loop",
        error: bytes | None = None,
    ) -> list[int]:
        """Give leased messages back as they were.

        The delivery is taken off their account, unless it `counts`: then a message that has used up its deliveries
        dies of `reason` (3).
        """
        self.partition.forget(now)
        codes = []
        for held in leases:
            record, code = self._guard(held.uuid, held.token, repeated="rd")
            if record is None:
                codes.append(code)
                continue
            if record.state != "l":
                codes.append(Code.REPEATED)
                continue
            self._unindex(held.queue, held.uuid, record)
            details = _text(error) if error is not None else self._crash_error if counts else ""
            if counts or delay_ms:
                how = ("refused" if reason == "unknown_task" else "crashed") if counts else "postponed"
                self._chronicle(record, how, note_of(details.encode("latin-1")))
            if counts and record.deliveries >= self.policy.max_deliveries:
                self._bury(now, held.queue, held.uuid, record, reason, "F", details)
                codes.append(Code.DEAD)
                continue
            if details:
                record.error = details
            if not counts:
                record.deliveries -= 1
            self._place(now, held.queue, held.uuid, record, delay_ms)
            self._tell(now, held.queue, held.uuid, record, "SUBMITTED")
            codes.append(Code.DONE)
        return _plain(codes)

    def revoke(self, now: int, queue: str, uuid: str, *, skip_if_running: bool = False) -> int:
        """End a live message as revoked; the worker of a running one is told and fenced off."""
        self.partition.forget(now)
        record, receipt = self.partition.record(uuid), self.partition.receipt(uuid)
        if receipt is not None:
            return int(Code.REPEATED if receipt.letter == "V" else Code.STALE)
        if uuid not in self.partition.records:
            # It may still come, as somebody's callback.
            self._close(now, uuid, "V", "", "revoked", self._revocation_error, kept_ms=FORESIGHT_MS)
        if record is None or record.state is None:
            return int(Code.MISSING)
        if record.state not in tuple(LIVE):
            return int(Code.REPEATED if record.reason == "revoked" else Code.STALE)
        running = record.state == "l"
        if running and skip_if_running:
            return int(Code.EXISTS)
        self._chronicle(record, "revoked")
        self._unindex(queue, uuid, record)
        self._bury(now, queue, uuid, record, "revoked", "V", self._revocation_error)
        if not running:
            return int(Code.DONE)
        worker = (record.token or "").split(".")[0]
        self._publish(f"{self._worker_channel}{worker}", f"revoke {uuid}")
        return int(Code.INTERRUPTED)

    def remove(self, now: int, queue: str, uuid: str) -> int:
        """Delete a message from wherever it is; one that has ended counts as gone already."""
        self.partition.forget(now)
        for ids in self.partition.queue(queue).indexes().values():
            ids.pop(uuid, None)
        record = self.partition.records.pop(uuid, None)
        if isinstance(record, Record):
            self._free_key(now, uuid, record)
        return int(Code.MISSING if record is None or isinstance(record, Receipt) else Code.DONE)

    def update(self, now: int, held: Held, body: bytes, priority: int, retries: int, error: bytes) -> int:
        """Rewrite a message where it is; a new priority moves a ready one in the line. Dead letters too."""
        self.partition.forget(now)
        record, code = self._guard(held.uuid, held.token, repeated="x")
        if record is None and code == Code.REPEATED:
            record = self.partition.record(held.uuid)
        if record is None:
            return int(code)
        ready = self.partition.queue(held.queue).ready
        if record.state == "r" and held.uuid in ready:
            ready[held.uuid] += (priority - record.priority) * self.policy.weight
        record.body, record.priority, record.retries = _text(body), priority, retries
        if error:
            record.error = _text(error)
        return int(Code.DONE)

    def replay(self, now: int, queue: str, uuid: str, *, again: bool = False) -> int:
        """Give a dead letter a new life: ready, its counts at zero, without an expiry; the fence goes on.

        To the repeat of an unanswered call, whatever lives or has ended since was replayed by the first.
        """
        self.partition.forget(now)
        record = self.partition.record(uuid)
        if self.partition.receipt(uuid) is not None and again:
            return int(Code.REPEATED)
        if record is None or record.state is None or record.body is None:
            return int(Code.MISSING)
        if record.state != "x":
            return int(Code.REPEATED if again else Code.STALE)
        self._unindex(queue, uuid, record)
        record.retries = record.deliveries = 0
        record.reason = record.ended_at = record.expires_at = None
        self._write_down(record, "", "replayed", "")
        self._place(now, queue, uuid, record, 0)
        if record.digest is not None and self._holder(record.digest, now) is None:
            self.partition.kept[f"u:{record.digest}"] = Kept(f"{uuid} {now}")
        self._tell(now, queue, uuid, record, "SUBMITTED")
        return int(Code.DONE)

    # The operator's verbs.

    def pause(self, now: int, queue: str, token: str, note: str, *, again: bool = False) -> int:
        """Close a queue for claims; the first pause stands until somebody resumes."""
        self.partition.forget(now)
        before = self.partition.meta.get(f"pause:{queue}")
        if before is not None:
            return int(Code.REPEATED if again and f" {token} " in str(before) else Code.EXISTS)
        self.partition.names.add(queue)
        self.partition.meta[f"pause:{queue}"] = f"{now} {token} {note}"
        return int(Code.DONE)

    def resume(self, now: int, queue: str, *, again: bool = False) -> int:
        """Open a paused queue again; a consumer is woken where something waits."""
        self.partition.forget(now)
        if self.partition.meta.pop(f"pause:{queue}", None) is None:
            return int(Code.REPEATED if again else Code.EXISTS)
        home = self.partition.queue(queue)
        home.marked = home.marked or bool(home.ready or home.delayed)
        return int(Code.DONE)

    def reprioritize(self, now: int, queue: str, uuid: str, priority: int) -> int:
        """Move a waiting message to another place in the line."""
        record, code = self._waiting(now, uuid)
        if record is None:
            return int(code)
        if record.priority == priority:
            return int(Code.REPEATED)
        ready = self.partition.queue(queue).ready
        if record.state == "r" and uuid in ready:
            ready[uuid] += (priority - record.priority) * self.policy.weight
        record.priority = priority
        return int(Code.DONE)

    def run_now(self, now: int, queue: str, uuid: str) -> int:
        """Make a delayed message ready at once."""
        record, code = self._waiting(now, uuid)
        if record is None:
            return int(code)
        if record.state == "r":
            return int(Code.REPEATED)
        self._unindex(queue, uuid, record)
        self._place(now, queue, uuid, record, 0)
        return int(Code.DONE)

    def purge(self, now: int, queue: str, letters: Sequence[tuple[str, int | str]]) -> list[int]:
        """Delete dead letters; one that died at another time than told stays."""
        self.partition.forget(now)
        codes = []
        for uuid, died_at in letters:
            record = self.partition.record(uuid)
            if record is None or record.state is None:
                codes.append(Code.STALE if self.partition.receipt(uuid) is not None else Code.MISSING)
            elif record.state != "x" or (died_at != "" and record.ended_at != str(died_at)):
                codes.append(Code.STALE)
            else:
                del self.partition.records[uuid]
                self.partition.queue(queue).dead.pop(uuid, None)
                codes.append(Code.DONE)
        return _plain(codes)

    # What the verbs share.

    def _waiting(self, now: int, uuid: str) -> tuple[Record | None, Code]:
        self.partition.forget(now)
        record = self.partition.record(uuid)
        if record is None or record.state is None:
            return None, Code.STALE if self.partition.receipt(uuid) is not None else Code.MISSING
        return (record, Code.DONE) if record.state in ("r", "d") else (None, Code.STALE)

    def _guard(self, uuid: str, token: str, repeated: str = "") -> tuple[Record | None, Code]:
        """Let only the present holder act, and recognise a holder that did this before.

        `repeated` names the states that the verb makes: the same token in one of them is a repeat. An empty token
        is the administrator's and fits every live message.
        """
        record, receipt = self.partition.record(uuid), self.partition.receipt(uuid)
        if receipt is not None:
            if token not in ("", receipt.token):
                return None, Code.STALE
            if receipt.letter in repeated:
                return None, Code.REPEATED
            return None, Code.REVOKED if token and receipt.letter == "V" else Code.STALE
        if record is None or record.state is None:
            return None, Code.MISSING
        state = record.state
        if token == "":
            if state in LIVE:
                return record, Code.DONE
            return None, Code.REPEATED if state in repeated else Code.STALE
        if record.token != token:
            return None, Code.STALE
        if state == "l":
            return record, Code.DONE
        if record.reason == "revoked":
            return None, Code.REVOKED
        return None, Code.REPEATED if state in repeated else Code.STALE

    def _create(self, now: int, queue: str, new: NewMessage) -> None:
        """A new record, its id where it waits, and the first status."""
        self.partition.count(queue, "s")
        record = Record(b=_text(new.body), T=new.task_name, s="r")
        if new.priority:
            record.priority = new.priority
        if new.ttl_ms != "":
            record.expires_at = str(now + int(new.ttl_ms))
        if new.kept_status_ms != "":
            record.kept_status_ms = str(new.kept_status_ms)
        self.partition.records[new.uuid] = record
        self._place(now, queue, new.uuid, record, new.delay_ms)
        self._tell(now, queue, new.uuid, record, "SUBMITTED")

    def _chronicle(self, record: Record, how: str, note: str = "") -> None:
        """How an attempt ended, if there was one; the last ten are kept."""
        if record.state == "l":
            self._write_down(record, record.token or "", how, note)

    @staticmethod
    def _write_down(record: Record, token: str, how: str, note: str) -> None:
        lines = record.history.split("\n") if record.history else []
        record.history = "\n".join([*lines, f"# # {token} {how} {note}"][-10:])

    def _store(self, now: int, uuid: str, result: StoredResult) -> None:
        """A result with its retention, and its place in its progenitor's index, which stays as long as any of them."""
        kept, ends_at = self.partition.kept, now + result.ttl_ms
        kept[result.key] = Kept(f"{now}:{_text(result.text)}", ends_at)
        if result.kids_key:
            index = kept.setdefault(result.kids_key, Kept({}))
            assert isinstance(index.value, dict)
            index.value[uuid] = now
            index.vanishes_at = max(index.vanishes_at or 0, ends_at)
            self._publish(f"{self._tag}{result.kids_key}", uuid)
        self._publish(f"{self._tag}done:{uuid}", "S")

    def _place(self, now: int, queue: str, uuid: str, record: Record, delay_ms: int) -> None:
        """Ready at once, or delayed. A consumer is woken unless another delayed message is due earlier anyway."""
        home = self.partition.queue(queue)
        if delay_ms > 0:
            record.state = "d"
            home.delayed[uuid] = now + delay_ms
            home.marked = home.marked or _in_order(home.delayed)[0] == uuid
        else:
            record.state = "r"
            home.ready[uuid] = self._score(record, now)
            home.marked = True

    def _score(self, record: Record, ready_ms: float) -> float:
        """Lower priority numbers first, then first come first served."""
        return record.priority * self.policy.weight + (ready_ms - EPOCH_MS)

    def _unindex(self, queue: str, uuid: str, record: Record) -> None:
        assert record.state is not None
        self.partition.queue(queue).index(record.state).pop(uuid, None)

    def _bury(
        self,
        now: int,
        queue: str,
        uuid: str,
        record: Record,
        reason: str,
        letter: str,
        details: str,
        status: str = "FAILED",
        token: str | None = None,
    ) -> None:
        """A dead letter with its reason and expiry; without dead letters the message ends, and leaves a receipt."""
        policy = self.policy
        self.partition.count(queue, f"x:{reason}")
        if letter == "F":
            self.partition.count(queue, "f")
        self._free_key(now, uuid, record)
        if policy.dlq_ms:
            record.state, record.reason, record.ended_at, record.error = "x", reason, str(now), details
            self.partition.queue(queue).dead[uuid] = math.inf if policy.dlq_ms < 0 else now + policy.dlq_ms
        else:
            held_by = token if token is not None else record.token or ""
            self._close(now, uuid, letter, held_by, reason, details)
        self._tell(now, queue, uuid, record, status, ended=True)
        self._publish(f"{self._tag}done:{uuid}", letter)

    def _holder(self, digest: str, now: int) -> str | None:
        """Who holds a key: a message that lives, or one whose window is still open."""
        kept = self.partition.kept.get(f"u:{digest}")
        if kept is None:
            return None
        uuid, _, ends = str(kept.value).rpartition(" ")
        return uuid if int(ends) > now or self.partition.state(uuid) in tuple(LIVE) else None

    def _free_key(self, now: int, uuid: str, record: Record, *, succeeded: bool = False) -> None:
        """Its message ended: the key goes at once, or, after a success, when its window is over."""
        name = f"u:{record.digest}"
        kept = self.partition.kept.get(name)
        if record.digest is None or kept is None:
            return
        holder, _, ends = str(kept.value).rpartition(" ")
        if holder != uuid:
            return
        if succeeded and int(ends) > now:
            kept.vanishes_at = int(ends)
        else:
            del self.partition.kept[name]

    def _close(
        self,
        now: int,
        uuid: str,
        letter: str,
        token: str,
        reason: str = "",
        details: str = "",
        kept_ms: int | None = None,
    ) -> None:
        """The record gives way to a receipt; it remembers for a while how the message ended, and under whom."""
        vanishes_at = now + (self.policy.receipt_ms if kept_ms is None else kept_ms)
        self.partition.records[uuid] = Receipt(letter, token, now, reason, details, vanishes_at)

    def _tell(self, now: int, queue: str, uuid: str, record: Record, name: str, *, ended: bool = False) -> None:
        """The status of a tracked message: stored and published. It gets an expiry only at the end.

        Args:
            name: Of the status, or the text itself.
        """
        payload = self._statuses.get(name, name)
        if record.kept_status_ms is None or not payload:
            return
        stem = f"{queue}:{record.task_name or ''}:{uuid}"
        kept_ms = int(record.kept_status_ms)
        self.partition.kept[f"status:{stem}"] = Kept(payload, now + kept_ms if ended and kept_ms else None)
        self._publish(f"channel:{stem}", payload)

    def _tick(self, now: int) -> int:
        """A worker spoke. After too long a silence nobody's lease is recovered for the length of one lease."""
        meta = self.partition.meta
        if abs(now - int(meta.get("clock", now))) > self.policy.silence_ms:
            meta["grace"] = now + self.policy.lease_ms
        meta["clock"] = now
        return int(meta.get("grace", 0))

    def _promote(self, now: int, queue: str) -> None:
        """What is due becomes ready, queueing by the time it fell due."""
        home = self.partition.queue(queue)
        for uuid in [uuid for uuid in _in_order(home.delayed) if home.delayed[uuid] <= now][:STEP]:
            due = home.delayed.pop(uuid)
            record = self.partition.record(uuid)
            if record is not None and record.state == "d":
                home.ready[uuid] = self._score(record, due)
                record.state = "r"

    def _recover(self, now: int, queue: str) -> None:
        """Whose lease has lapsed is ready again, unless it keeps killing its workers."""
        home = self.partition.queue(queue)
        for uuid in [uuid for uuid in _in_order(home.leases) if home.leases[uuid] <= now][:STEP]:
            del home.leases[uuid]
            record = self.partition.record(uuid)
            if record is None or record.state != "l":
                continue
            self._chronicle(record, "lapsed")
            record.token = None
            if record.deliveries >= self.policy.max_deliveries:
                self._bury(now, queue, uuid, record, "crash_loop", "F", self._crash_error)
            else:
                record.state = "r"
                home.ready[uuid] = self._score(record, now)

    def _pop(self, interest: Interest, want: int) -> tuple[list[str], int]:
        """Take from the front what is wanted; narrowed to some tasks, from a window that starts at an offset."""
        ready = self.partition.queue(interest.queue).ready
        line = _in_order(ready)
        offset = interest.offset
        if not interest.tasks:
            popped = line[: max(0, want)]
        else:
            popped = []
            window = line[offset : offset + WINDOW] if want > 0 else []
            for uuid in window:
                if len(popped) >= want:
                    break
                record = self.partition.record(uuid)
                if record is None or record.task_name is None or record.task_name in interest.tasks:
                    popped.append(uuid)
                else:
                    offset += 1
            if len(window) < WINDOW and len(popped) < want:
                offset = 0
        for uuid in popped:
            del ready[uuid]
        return popped, offset

    def _leave_to_others(self, interests: Sequence[Interest], closed: set[str]) -> frozenset[str]:
        """Pass the wake marker on where what is left is for others; gives the queues."""
        left = [interest.queue for interest in interests if interest.tasks and interest.queue not in closed]
        left = [queue for queue in left if self.partition.queue(queue).ready]
        for queue in left:
            self.partition.queue(queue).marked = True
        return frozenset(left)

    def _next(
        self,
        now: int,
        interests: Sequence[Interest],
        grace: int,
        closed: set[str],
        others: frozenset[str],
        *,
        full: bool,
    ) -> int | None:
        """When to look again. A full hand that leaves work behind wakes the next consumer instead."""
        homes = [(interest, self.partition.queue(interest.queue)) for interest in interests]
        unpaused = [(interest, home) for interest, home in homes if interest.queue not in closed]
        if full:
            for _, home in unpaused:
                home.marked = home.marked or bool(home.ready or home.delayed)
            return None
        times = [min(home.delayed.values()) for _, home in unpaused if home.delayed]
        times += [max(grace, min(home.leases.values())) for _, home in homes if home.leases]
        times += [now for interest, home in unpaused if home.ready and not interest.tasks]
        times += [now + (1000 if len(self.partition.queue(queue).ready) > WINDOW else 100) for queue in others]
        return int(max(0, min(times) - now)) if times else None

    def _held_by(self, token: str, receipt: str, interests: Sequence[Interest]) -> list[Claimed]:
        hand = []
        for line in receipt.partition(" ")[2].split("\n"):
            number, *uuids = line.split(" ")
            queue = interests[int(number) - 1].queue
            for uuid in uuids:
                record = self.partition.record(uuid)
                if record is not None and record.readable and record.state == "l" and record.token == token:
                    hand.append(_claimed(queue, uuid, record))
        return hand

    def _publish(self, channel: str, payload: str) -> None:
        self.published.append((channel, payload))


def _claimed(queue: str, uuid: str, record: Record) -> Claimed:
    return Claimed(
        queue, uuid, record.task_name or "", (record.body or "").encode("latin-1"), record.priority, record.retries,
        record.deliveries, record.fence, (record.error or "").encode("latin-1"),
    )  # fmt: skip


def _in_order(ids: Mapping[str, float]) -> list[str]:
    """The ids as a sorted set holds them: by score, then by name."""
    return sorted(ids, key=lambda uuid: (ids[uuid], uuid))


def _plain(codes: Sequence[int]) -> list[int]:
    return [int(code) for code in codes]


def _text(raw: bytes | str) -> str:
    return raw.decode("latin-1") if isinstance(raw, bytes) else raw
