"""The rules by which Hypothesis drives the model, and a real server beside it if there is one."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from hypothesis import HealthCheck, Phase, assume, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from alsek.storage.backends.redis.unique_verbs import Unique
from alsek.storage.backends.redis.verbs import Ack, Hand, Held, Interest, NewMessage, Policy, Report, StoredResult
from alsek.tools.fsck import audit
from model.comparison import adopt, differences, moments, shift
from model.engine_under_test import CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR, STATUSES
from model.partition import ENDED, JUNK, Record
from model.queue_model import QueueModel

if TYPE_CHECKING:
    from model.engine_under_test import EngineUnderTest

LEASE_MS = 30_000
#: No decision may hang on less than this: the time between reading the clock and the script's own reading.
MARGIN_MS = 1_500
QUEUES = ("a", "b:c", "d")
CONSUMERS = ("w1.0", "w2.0", "w2.1")
TASKS = ("add", "mul")
KEYS = ("k1", "k2")
#: Virtual time of a model without a server.
LONG_AGO = 1_700_000_000_000

picks = st.integers(0, 30)
queues = st.sampled_from(QUEUES)
delays = st.sampled_from([0, 0, 10_000, 40_000])
priorities = st.sampled_from([0, 0, 1, 4_095])
changes = st.sampled_from([None, None, b"\x00\xff{}"])
states = st.sampled_from(["r", "d", "l", "l", "x", "S"])
whose = st.sampled_from(["own", "own", "own", "former", "administrator", "nobody"])
messages = st.fixed_dictionaries(
    {
        "task_name": st.sampled_from(TASKS),
        "priority": priorities,
        "delay_ms": delays,
        "ttl_ms": st.sampled_from(["", "", 20_000, 500_000]),
        "kept_status_ms": st.sampled_from(["", "", 50_000, 0]),
    }
)
windows = st.sampled_from([1_000, 15_000, 100_000])
policies = st.builds(
    Policy,
    dlq_ms=st.sampled_from([100_000, 100_000, 0, -1]),
    lease_ms=st.just(LEASE_MS),
    max_deliveries=st.sampled_from([1, 2, 5]),
    aging_ms=st.sampled_from([None, 5_000]),
)


def machine_settings(examples: int, steps: int, *, shrink: bool = True) -> settings:
    """How long Hypothesis plays; a failure is shrunk to a short story unless only its being counts."""
    phases = [Phase.generate, Phase.shrink] if shrink else [Phase.generate]
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=phases,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )


def beside(engine: EngineUnderTest) -> type[QueueMachine]:
    """The machine that compares with a real server."""
    return type("Compared", (QueueMachine,), {"engine": engine, "teardown": QueueMachine.agree_with_the_audit})


class QueueMachine(RuleBasedStateMachine):
    """Every rule is one verb, one moment of time or one planted fault."""

    #: Set by `beside`.
    engine: ClassVar[EngineUnderTest | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.now = LONG_AGO
        self.uuids: list[str] = []
        self.home: dict[str, str] = {}
        self.tokens: dict[str, list[str]] = {}
        self.last_claim: dict[str, tuple[list[Interest], str, str, int]] = {}
        #: Ids whose record was spoilt on purpose.
        self.spoilt: set[str] = set()
        #: What each message looked like after the last step: its state and its fence.
        self.seen: dict[str, tuple[str, float]] = {}
        #: Ids that somebody removed or submitted anew.
        self.may_go: set[str] = set()
        self.removed: set[str] = set()
        self.claims = 0
        self.pauses = 0

    @initialize(policy=policies)
    def begin(self, policy: Policy) -> None:
        self.model = QueueModel(
            policy, STATUSES, CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR, "model:worker:", "{model:0}:"
        )
        if self.engine is not None:
            self.engine.start(policy)

    # Rules: waiting messages.

    @rule(queue=queues, what=st.lists(messages, min_size=1, max_size=3), again=st.booleans())
    def submit(self, queue: str, what: list[dict[str, Any]], again: bool) -> None:
        new = [NewMessage(self._new_uuid(queue), body=_body(queue), **one) for one in what]
        codes = self._step("submit", queue, new, again=again)
        assert codes == [1] * len(new)
        self._repeated("submit", queue, new, again=True)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, what=messages, again=st.booleans())
    def submit_a_known_uuid(self, pick: int, what: dict[str, Any], again: bool) -> None:
        uuid = self._pick(pick)
        codes = self._step("submit", self.home[uuid], [self._known(uuid, what)], again=again)
        if codes == [1]:
            self.may_go.add(uuid)
        event(f"submit known: {codes[0]}")

    @rule(
        queue=queues,
        what=st.lists(st.tuples(messages, st.sampled_from(KEYS), windows), min_size=1, max_size=3),
        again=st.booleans(),
    )
    def submit_unique(self, queue: str, what: list[tuple[dict[str, Any], str, int]], again: bool) -> None:
        new = [
            (NewMessage(self._new_uuid(queue), body=_body(queue), **one), Unique(key, window))
            for one, key, window in what
        ]
        answers = self._step("submit_unique", queue, new, again=again)
        for answer in answers:
            event(f"submit unique: {answer if isinstance(answer, int) else 'a duplicate'}")
        self._repeated("submit_unique", queue, new, again=True)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, what=messages, key=st.sampled_from(KEYS), window=windows)
    def submit_a_known_uuid_as_unique(self, pick: int, what: dict[str, Any], key: str, window: int) -> None:
        uuid = self._pick(pick)
        if self._step("submit_unique", self.home[uuid], [(self._known(uuid, what), Unique(key, window))]) == [1]:
            self.may_go.add(uuid)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, state=states, skip=st.sampled_from([False, False, True]))
    def revoke(self, pick: int, state: str, skip: bool) -> None:
        uuid = self._pick(pick, state)
        code = self._step("revoke", self.home[uuid], uuid, skip_if_running=skip)
        event(f"revoke: {code}")
        self._repeated("revoke", self.home[uuid], uuid, skip_if_running=skip)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, state=states)
    def remove(self, pick: int, state: str) -> None:
        uuid = self._pick(pick, state)
        self.may_go.add(uuid)
        self.removed.add(uuid)
        code = self._step("remove", self.home[uuid], uuid)
        event(f"remove: {code}")
        self._repeated("remove", self.home[uuid], uuid)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        uuid = self._pick(pick, "x")
        code = self._step("replay", self.home[uuid], uuid)
        event(f"replay: {code}")
        if code == 1:
            self._repeated("replay", self.home[uuid], uuid, again=True)

    # Rules: what operators do.

    @rule(queue=queues, reason=st.sampled_from(["", "the bank is closed"]))
    def pause(self, queue: str, reason: str) -> None:
        self.pauses += 1
        token = f"p{self.pauses}"
        code = self._step("pause", queue, token, reason)
        event(f"pause: {code}")
        self._repeated("pause", queue, token, reason, again=True)

    @precondition(lambda self: any(name.startswith("pause:") for name in self.model.partition.meta))
    @rule(pick=picks)
    def resume(self, pick: int) -> None:
        paused = sorted(name for name in self.model.partition.meta if name.startswith("pause:"))
        queue = paused[pick % len(paused)].removeprefix("pause:")
        assert self._step("resume", queue) == 1
        self._repeated("resume", queue, again=True)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, state=states, priority=priorities)
    def reprioritize(self, pick: int, state: str, priority: int) -> None:
        uuid = self._pick(pick, state)
        code = self._step("reprioritize", self.home[uuid], uuid, priority)
        event(f"reprioritize: {code}")
        self._repeated("reprioritize", self.home[uuid], uuid, priority)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, state=st.sampled_from(["d", "d", "r", "l"]))
    def run_now(self, pick: int, state: str) -> None:
        uuid = self._pick(pick, state)
        code = self._step("run_now", self.home[uuid], uuid)
        event(f"run now: {code}")
        self._repeated("run_now", self.home[uuid], uuid)

    @precondition(lambda self: self.uuids)
    @rule(who=st.lists(picks, min_size=1, max_size=3), state=st.sampled_from(["x", "x", "r", "S"]), seen=st.booleans())
    def purge(self, who: list[int], state: str, seen: bool) -> None:
        queue = self.home[self._pick(who[0], state)]
        found = {uuid: self.model.partition.record(uuid) for uuid in (self._pick(pick, state) for pick in who)}
        letters = [
            (uuid, record.ended_at or "" if record is not None and seen else "")
            for uuid, record in found.items()
            if self.home[uuid] == queue
        ]
        self.may_go.update(uuid for uuid, _ in letters)
        for code in self._step("purge", queue, letters):
            event(f"purge: {code}")
        self._repeated("purge", queue, letters)

    # Rules: running messages.

    @rule(
        consumer=st.sampled_from(CONSUMERS),
        line=st.permutations(QUEUES) | st.lists(queues, min_size=1, max_size=3, unique=True),
        want=st.sampled_from([1, 2, 4, 4, 0]),
        tasks=st.sampled_from([(), (), (), ("add",)]),
        again=st.sampled_from([False, False, True]),
    )
    def claim(self, consumer: str, line: list[str], want: int, tasks: tuple[str, ...], again: bool) -> None:
        self.claims += 1
        token = f"{consumer}-{self.claims}"
        call = ([Interest(queue, tasks) for queue in line], token, consumer, want)
        hand = self._claim(*call, again=again)
        self.last_claim[consumer] = call
        if hand.messages and self.claims % 2:
            self._repeated("claim", *call, again=True)

    @precondition(lambda self: self.last_claim)
    @rule(pick=picks)
    def repeat_a_claim(self, pick: int) -> None:
        consumer = sorted(self.last_claim)[pick % len(self.last_claim)]
        self._claim(*self.last_claim[consumer], again=True)

    @precondition(lambda self: self.uuids)
    @rule(who=st.lists(st.tuples(picks, whose), max_size=4, unique_by=lambda one: one[0]))
    def renew(self, who: list[tuple[int, str]]) -> None:
        leases = self._distinct(who)
        codes = self._step("renew", list(QUEUES), leases)
        for code in codes:
            event(f"renew: {code}")

    @precondition(lambda self: self.uuids)
    @rule(
        who=st.lists(st.tuples(picks, whose), min_size=1, max_size=3, unique_by=lambda one: one[0]),
        done=st.integers(0, 9),
    )
    def progress(self, who: list[tuple[int, str]], done: int) -> None:
        status = b'{"status": "RUNNING", "details": %d}' % done
        reports = [Report(held, b"1 [%d,null,null]" % done, status) for held in self._distinct(who)]
        codes = self._step("progress", reports)
        for code in codes:
            event(f"progress: {code}")

    @precondition(lambda self: self.uuids)
    @rule(
        who=st.lists(st.tuples(picks, whose), min_size=1, max_size=3, unique_by=lambda one: one[0]),
        result=st.sampled_from([None, "results:", "kids"]),
        callback=st.sampled_from([None, "new", "known"]),
        child=messages,
        queue=queues,
    )
    def ack(
        self, who: list[tuple[int, str]], result: str | None, callback: str | None, child: dict[str, Any], queue: str
    ) -> None:
        acks = []
        leases = self._distinct(who)
        for pick, held in enumerate(leases):
            stored, born = None, None
            if result == "results:":
                stored = StoredResult(f"results:{held.uuid}", b"\x01[]", 70_000)
            elif result == "kids":
                stored = StoredResult(
                    f"results:p:descendants:{held.uuid}", b"7", 70_000 - 20_000 * (pick % 2), "kids:p"
                )
            if callback == "new":
                born = (queue, NewMessage(self._new_uuid(queue), body=_body(queue), **child))
            elif callback == "known":
                known = self._pick(child["priority"] + pick)
                if known not in [one.uuid for one in leases]:
                    born = (self.home[known], self._known(known, child))
                    self.may_go.add(known)
            acks.append(Ack(held, stored, born))
        codes = self._step("ack", acks)
        for code in codes:
            event(f"ack: {code}")
        self._repeated("ack", acks)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, holder=whose, delay=delays, change=changes)
    def retry(self, pick: int, holder: str, delay: int, change: bytes | None) -> None:
        held = self._held(pick, holder)
        body = b"" if change is None else _body(held.queue, change)
        code = self._step("retry", held, delay, b"oops", body)
        event(f"retry: {code}")
        if held.token:
            self._repeated("retry", held, delay, b"oops", body)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, holder=whose, change=changes)
    def fail(self, pick: int, holder: str, change: bytes | None) -> None:
        held = self._held(pick, holder)
        body = b"" if change is None else _body(held.queue, change)
        code = self._step("fail", held, "failed", b"oops", body)
        event(f"fail: {code}")
        self._repeated("fail", held, "failed", b"oops", body)

    @precondition(lambda self: self.uuids)
    @rule(
        who=st.lists(st.tuples(picks, whose), min_size=1, max_size=3, unique_by=lambda one: one[0]),
        counts=st.booleans(),
        delay=delays,
        error=st.sampled_from([None, b"lost"]),
    )
    def release(self, who: list[tuple[int, str]], counts: bool, delay: int, error: bytes | None) -> None:
        leases = self._distinct(who)
        codes = self._step("release", leases, counts=counts, delay_ms=delay, error=error)
        for code in codes:
            event(f"release: {code}")
        self._repeated("release", leases, counts=counts, delay_ms=delay, error=error)

    @precondition(lambda self: self.uuids)
    @rule(pick=picks, holder=whose, priority=priorities, retries=st.integers(0, 2), error=st.sampled_from([b"", b"e"]))
    def update(self, pick: int, holder: str, priority: int, retries: int, error: bytes) -> None:
        held = self._held(pick, holder)
        body = _body(held.queue, b"rewritten")
        code = self._step("update", held, body, priority, retries, error)
        event(f"update: {code}")
        self._repeated("update", held, body, priority, retries, error)

    @rule(queue=queues)
    def wake_up(self, queue: str) -> None:
        """An idle consumer takes the wake marker; what it finds is the business of its next claim."""
        self.model.partition.queue(queue).marked = False
        if self.engine is not None:
            self.engine.client.lpop(self.engine.keys.wake(queue, 0))

    # Rules: time.

    @rule(ms=st.sampled_from([5_000, 12_000, 35_000, 120_000]), others_speak=st.booleans())
    def let_time_pass(self, ms: int, others_speak: bool) -> None:
        """Longer than a lease without a sign of life is an outage."""
        self._advance(ms, clock_too=not others_speak)

    @rule(ms=st.sampled_from([5_000, 40_000]))
    def set_the_clock_back(self, ms: int) -> None:
        self._advance(-ms)

    @precondition(lambda self: any(queue.leases for queue in self.model.partition.queues.values()))
    @rule(consumer=st.sampled_from(CONSUMERS), want=st.integers(1, 3))
    def lapse_a_lease(self, consumer: str, want: int) -> None:
        """A worker dies while others go on; somebody claims after the end of its lease."""
        name, home = next((name, queue) for name, queue in sorted(self.model.partition.queues.items()) if queue.leases)
        self._advance(max(1, int(min(home.leases.values()) - self.now) + MARGIN_MS * 2), clock_too=False)
        self.claim(consumer, [name], want, (), False)

    @precondition(lambda self: any(queue.dead for queue in self.model.partition.queues.values()))
    @rule(left_ms=st.sampled_from([20_000, -MARGIN_MS * 2]))
    def outlive_a_dead_letter(self, left_ms: int) -> None:
        """Its time is nearly over, or over, when a worker tidies up."""
        ends = [end for queue in self.model.partition.queues.values() for end in queue.dead.values()]
        end = min(ends)
        if math.isfinite(end):
            self._advance(max(1, int(end - self.now) - left_ms))
        self._step("renew", list(QUEUES), [])

    # Rules: faults.

    @precondition(lambda self: self.uuids)
    @rule(
        pick=picks,
        how=st.sampled_from(
            [
                "gone",
                "wrong type",
                "no s",
                "no b",
                "no T",
                "no t",
                "no d",
                "bad p",
                "bad n",
                "bad d",
                "bad f",
                "bad x",
            ]
        ),
    )
    def spoil(self, pick: int, how: str) -> None:
        """Damage one record: its id is dropped where it is met, and nobody else notices."""
        uuid = self._pick(pick)
        records = self.model.partition.records
        record = self.model.partition.record(uuid)
        assume(record is not None)
        assert record is not None
        self.spoilt.add(uuid)
        field = how[-1]
        if how == "gone":
            del records[uuid]
        elif how == "wrong type":
            records[uuid] = JUNK
        elif how.startswith("no "):
            record.fields.pop(field, None)
            if not record.fields:
                del records[uuid]
        else:
            record.fields[field] = "garbage"
        if self.engine is None:
            return
        client, key = self.engine.client, self.engine.keys.record(uuid)
        if how == "gone":
            client.delete(key)
        elif how == "wrong type":
            client.set(key, JUNK)
        elif how.startswith("no "):
            client.hdel(key, field)
        else:
            client.hset(key, field, "garbage")

    @invariant()
    def every_live_message_is_in_exactly_one_place(self) -> None:
        if hasattr(self, "model"):
            wrong = self.model.partition.violations(self.spoilt)
            assert not wrong, "\n".join(wrong)

    @invariant()
    def nothing_is_lost_and_nothing_ends_twice(self) -> None:
        """A message goes only after its end, its end is final, and its fence never falls."""
        if not hasattr(self, "model"):
            return
        records = self.model.partition.records
        now = {
            uuid: (self.model.partition.state(uuid) or "", record.fence if isinstance(record, Record) else math.inf)
            for uuid, record in records.items()
            if uuid not in self.spoilt
        }
        for uuid, (state, fence) in self.seen.items():
            if uuid in self.may_go or uuid in self.spoilt:
                continue
            after, fence_after = now.get(uuid, ("gone", fence))
            assert after != "gone" or state in ENDED + "x", f"{uuid} was lost in state {state}"
            assert state not in ENDED or after in (state, "gone"), f"{uuid} ended as {state}, then {after}"
            assert fence_after >= fence, f"the fence of {uuid} fell from {fence} to {fence_after}"
        self.seen = now
        self.may_go.clear()

    def agree_with_the_audit(self) -> None:
        """The audit agrees that nothing is wrong, unless something was spoilt on purpose."""
        if self.engine is not None and hasattr(self, "model") and not self.spoilt:
            findings = [
                finding
                for finding in audit(self.engine.backend).findings
                # The status of a message that was removed is its tracker's business.
                if not (finding.kind == "stays_for_ever" and finding.uuid.rpartition(":")[2] in self.removed)
            ]
            assert not findings, "\n".join(map(str, findings))

    # How a step is made.

    def _step(self, verb: str, *args: Any, **how: Any) -> Any:
        """Run a verb on both sides and compare what they answer and what they left behind."""
        self._advance(1)
        for _ in range(100):
            near = [abs(when - self.now) for when in self._moments()]
            if not any(distance < MARGIN_MS for distance in near):
                break
            self._advance(MARGIN_MS)
        self.model.published.clear()
        expected = getattr(self.model, verb)(self.now, *args, **how)
        if self.engine is None:
            return expected
        answer = getattr(self.engine, verb)(*args, **how)
        dump, after = self.engine.dump()
        elapsed = after - self.now
        assume(elapsed < MARGIN_MS)
        note(f"{verb} answered {answer}, expected {expected}")
        if isinstance(expected, Hand):
            assert _timeless(answer) == _timeless(expected)
            assert 0 <= answer.now_ms - expected.now_ms <= elapsed
            if expected.next_ms is not None:
                assert answer.next_ms is not None
                assert abs(answer.next_ms - expected.next_ms) <= elapsed
        else:
            assert answer == expected
        wrong = differences(self.model.partition.dump(), dump, elapsed)
        assert not wrong, "\n".join(wrong)
        assert sorted(self.engine.published()) == sorted(self.model.published)
        adopt(self.model.partition, dump)
        return answer

    def _repeated(self, verb: str, *args: Any, **how: Any) -> None:
        """The reply was lost and the call is repeated: it must change nothing more."""
        before, kept = self.model.partition.dump(), deepcopy(self.model.partition)
        getattr(self.model, verb)(self.now + 1, *args, **how)
        wrong = differences(before, self.model.partition.dump(), 0)
        assert not wrong, "\n".join(["the repeat changed something:", *wrong])
        self.model.partition = kept
        if self.engine is not None:
            self._step(verb, *args, **how)

    def _claim(self, interests: list[Interest], token: str, consumer: str, want: int, *, again: bool = False) -> Hand:
        hand = self._step("claim", interests, token, consumer, want, again=again)
        event(f"claim brought {len(hand.messages)}")
        for message in hand.messages:
            former = self.tokens.setdefault(message.uuid, [])
            if token not in former:
                former.append(token)
        return hand

    def _advance(self, ms: int, *, clock_too: bool = True) -> None:
        shift(self.model.partition, ms, clock_too=clock_too)
        if self.engine is not None:
            self.now = self.engine.machine.advance(ms, clock_too=clock_too)
        self.model.partition.forget(self.now)

    def _moments(self) -> list[float]:
        policy = self.model.policy
        found = moments(self.model.partition, self.now, policy.weight, policy.silence_ms)
        return [when for when in found if math.isfinite(when)]

    def _known(self, uuid: str, what: dict[str, Any]) -> NewMessage:
        return NewMessage(uuid, body=_body(self.home[uuid]), **what)

    def _new_uuid(self, queue: str) -> str:
        uuid = f"{len(self.uuids):03d}"
        self.uuids.append(uuid)
        self.home[uuid] = queue
        return uuid

    def _pick(self, pick: int, state: str = "") -> str:
        """A known uuid, one in the given state if there is any."""
        found = [uuid for uuid in self.uuids if state and self.model.partition.state(uuid) == state]
        line = found or self.uuids
        return line[pick % len(line)]

    def _distinct(self, who: list[tuple[int, str]]) -> list[Held]:
        """Leases for one call, each uuid once."""
        return list({held.uuid: held for held in (self._held(*one) for one in who)}.values())

    def _held(self, pick: int, holder: str) -> Held:
        """A lease as `holder` would name it; there is one for its own holder, if anything can be claimed."""
        if holder == "own" and not any(queue.leases for queue in self.model.partition.queues.values()):
            self.claim(CONSUMERS[pick % len(CONSUMERS)], list(QUEUES), 3, (), False)
        claimed = [uuid for uuid in self.uuids if uuid in self.tokens]
        if holder == "former" and claimed:
            uuid = claimed[pick % len(claimed)]
            token = self.tokens[uuid][pick % len(self.tokens[uuid])]
        else:
            uuid = self._pick(pick, "" if holder == "administrator" else "l")
            token = self.tokens.get(uuid, ["nobody.0-0"])[-1]
        fitting = {"administrator": "", "nobody": "nobody.0-0"}
        return Held(self.home[uuid], uuid, fitting.get(holder, token))


def _body(queue: str, more: bytes = b"") -> bytes:
    """A body that the audit can read; the rest of it is never looked at."""
    return b"\x01" + msgspec.msgpack.encode({"q": queue, "z": more})


def _timeless(hand: Hand) -> tuple[bool, list[int], list[Any]]:
    return hand.next_ms is None, hand.offsets, hand.messages
