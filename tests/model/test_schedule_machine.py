"""The verbs of schedules beside a model of plain Python: any sequence of them, by leaders old and new, ends alike.

Instants are whole seconds of long ago, so everything is due; who fires, edits and repeats what, and how stale, is
chance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from alsek.core.broker import Broker
from alsek.core.schedules import ScheduleStore
from alsek.core.schedules.template import Template, fire_uuid
from alsek.core.triggers import IntervalTrigger
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.schedules import Firing, ScheduleVerbs
from alsek.tools.fsck import audit
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from harness.server import Server

BASE_MS = 1_600_000_000_000
NAMES = ("a", "b")
STATES = {"a": "active", "p": "paused", "x": "broken", "e": "ended"}


@dataclass
class Modelled:
    """One schedule as the scripts ought to keep it."""

    version: int = 1
    state: str = "a"
    next: int | None = None
    handled: int | None = None
    waiting: int | None = None
    last: str | None = None
    fired: int = 0
    missed: int = 0
    dropped: int = 0


@dataclass
class World:
    """All schedules, the messages that live, and the epoch that the partition has seen."""

    schedules: dict[str, Modelled] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    epoch: int = 0
    #: Every instant that was ever fired by a trigger, for each life of a schedule.
    history: dict[str, list[int]] = field(default_factory=dict)


class ScheduleMachine(RuleBasedStateMachine):
    """Does everything twice: on the server, and in the model."""

    server: Server

    @initialize()
    def begin(self) -> None:
        self.server.flush()
        self.broker = Broker(RedisBackend(self.server.url))
        self.store = ScheduleStore(self.broker)
        self.store.create("pattern", "work", IntervalTrigger(hours=1), queue="q", paused=True)
        fields = self.broker.redis.links.command("HGETALL", self.broker.keys.schedule("pattern"))
        stored: dict[bytes, bytes] = dict(zip(fields[::2], fields[1::2], strict=True))
        self.body, self.definition = stored[b"b"], stored[b"d"]
        self.store.delete("pattern")
        self.world = World()
        self.verbs: ScheduleVerbs = self.store.verbs
        self.template = {name: self._template(name) for name in NAMES}
        self.last_fire: Any = None
        self.marks = 0

    def _template(self, name: str) -> Template:
        return Template(self.broker.keys, name, self.body, self.broker.backend.serializer)

    def run(self, call: Any) -> Any:
        return self.broker.redis.links.execute([call])[0]

    @rule(name=st.sampled_from(NAMES), at=st.integers(0, 5))
    def create(self, name: str, at: int) -> None:
        instant = BASE_MS + at * 1000
        self.marks += 1
        fields = {
            "d": self.definition,
            "b": self.body,
            "f": fire_uuid(self.broker.keys, name, BASE_MS, "first", self.marks),
        }
        code = self.verbs.read_put(self.run(self.verbs.put(name, 0, f"m{self.marks}", "a", instant, fields))).code

        if name in self.world.schedules:
            assert code == 0
        else:
            assert code == 1
            self.world.schedules[name] = Modelled(next=instant)
            self.world.history[name] = []

    @rule(
        name=st.sampled_from(NAMES),
        stale=st.integers(0, 1),
        state=st.sampled_from("apx"),
        ahead=st.integers(-2, 4) | st.none(),
        again=st.booleans(),
    )
    def put(self, name: str, stale: int, state: str, ahead: int | None, again: bool) -> None:
        known = self.world.schedules.get(name)
        version = max(1, (known.version if known else 1) - stale)
        latest = (known.handled or known.next or BASE_MS) if known else BASE_MS
        following: int | str | None = "=" if ahead is None else latest + ahead * 1000
        if state != "a":
            following = None
        self.marks += 1
        call = self.verbs.put(name, version, f"m{self.marks}", state, following, {})
        code = self.verbs.read_put(self.run(call)).code

        if known is None:
            assert code == -1
            return
        if known.version != version:
            assert code == -2
            return
        if isinstance(following, int) and known.handled is not None and following <= known.handled:
            assert code == -3
            return
        assert code == 1
        known.version += 1
        known.next = known.next if following == "=" else following  # type: ignore[assignment]  # a number or nothing
        known.waiting = None
        known.state = "e" if state == "a" and known.next is None else state
        if again:
            assert self.verbs.read_put(self.run(call.repeated())).code == 2

    @rule(name=st.sampled_from(NAMES), stale=st.booleans())
    def delete(self, name: str, stale: bool) -> None:
        known = self.world.schedules.get(name)
        version = (known.version if known else 1) - stale
        code = self.run(self.verbs.delete(name, version))
        assert code == (-1 if known is None else 1 if known.version == version else -2)
        if code == 1:
            del self.world.schedules[name]

    @rule(
        name=st.sampled_from(NAMES),
        epoch=st.integers(1, 3),
        stale=st.sampled_from(["", "", "", "version", "next"]),
        count=st.integers(0, 3),
        missed=st.integers(0, 2),
        overlap=st.sampled_from(["allow", "skip", "queue_one"]),
        ends=st.booleans(),
    )
    def fire(self, name: str, epoch: int, stale: str, count: int, missed: int, overlap: str, ends: bool) -> None:
        known = self.world.schedules.get(name, Modelled(next=BASE_MS))
        version = known.version - (stale == "version")
        read = (known.next or BASE_MS) - 1000 if stale == "next" else known.next
        instants = [] if known.next is None else [known.next + 1000 * i for i in range(count + 1)]
        following = None if ends or not instants else instants[-1] + 1000
        fires = ([known.waiting] if known.waiting is not None else []) + instants[missed:]
        messages = [(one, *self.template[name].message(one, "first", first=False)) for one in fires]
        firing = Firing(
            name, version, read, following, instants[-1] if instants else None, min(missed, len(instants)), overlap,
            "q", "work", "", "", 0, 0, messages,
        )  # fmt: skip
        self.last_fire = self.verbs.fire(0, epoch, f"leader{epoch}", [firing])
        leads, _, outcomes = self.verbs.read_fire(self.run(self.last_fire))

        assert leads == (epoch >= self.world.epoch)
        if not leads:
            return
        self.world.epoch = epoch
        ((code, uuids),) = outcomes
        known_now = self.world.schedules.get(name)
        if known_now is None:
            assert (code, uuids) == (-1, [])
        elif stale or known_now.state != "a":
            assert (code, uuids) == (-2, [])
        else:
            assert code == 1
            assert uuids == self._fire(known_now, name, firing)

    def _fire(self, known: Modelled, name: str, firing: Firing) -> list[str]:
        told: list[str] = []
        watermark = known.handled or 0
        for instant, uuid, _ in firing.messages:
            waited = instant == known.waiting
            if not waited and instant <= watermark:
                continue
            if firing.overlap != "allow" and known.last in self.world.alive:
                if firing.overlap == "queue_one" and known.waiting is None:
                    known.waiting = instant
                elif not waited:
                    known.dropped += 1
                continue
            if waited:
                known.waiting = None
            if uuid not in self.world.alive:
                self.world.alive.add(uuid)
                told.append(uuid)
            known.last, known.fired = uuid, known.fired + 1
            self.world.history[name].append(instant)
        if firing.overlap != "queue_one":
            known.waiting = None
        known.next = firing.next_ms
        known.handled = max(watermark, firing.handled_ms or 0)
        known.missed += firing.missed
        if known.next is None and known.waiting is None:
            known.state = "e"
        return told

    @precondition(lambda self: self.last_fire is not None)
    @rule()
    def repeat_the_last_fire(self) -> None:
        """An answer was lost: the same call once more changes nothing that the first one did not."""
        before = {name: one.fired for name, one in self.world.schedules.items()}
        waiting = {name: one.waiting for name, one in self.world.schedules.items()}
        leads, _, outcomes = self.verbs.read_fire(self.run(self.last_fire))
        if leads:
            self.world.epoch = max(self.world.epoch, int(self.last_fire.args[0]))
        name = str(self.last_fire.args[4])
        known = self.world.schedules.get(name)
        if leads and known is not None and outcomes[0][0] == 1:
            # Only what changed nothing in the schedule's version and next fire can be carried out twice.
            shown = self.store.get(name)
            assert waiting[name] is None or shown.fired <= before[name] + 1
            self._adopt(name)

    def _adopt(self, name: str) -> None:
        """Take over what the server has, after a repeat that was a call of its own."""
        shown = self.store.get(name)
        known = self.world.schedules[name]
        handled = self.broker.redis.links.command("HGET", self.broker.keys.schedule(name), "l")
        assert (known.fired, known.next) == (shown.fired, shown.next_ms) or shown.fired > known.fired
        known.fired, known.dropped, known.missed = shown.fired, shown.dropped, shown.missed
        known.waiting, known.last, known.next = shown.waiting_ms, shown.last_uuid, shown.next_ms
        known.handled = int(handled) if handled else None
        known.state = next(letter for letter, state in STATES.items() if state == shown.state)
        self.world.alive = self._waiting()

    @precondition(lambda self: bool(self.world.alive))
    @rule(data=st.data())
    def end_a_message(self, data: st.DataObject) -> None:
        uuid = data.draw(st.sampled_from(sorted(self.world.alive)))
        message = self.broker.find(uuid)
        assert message is not None
        self.broker.remove(message)
        self.world.alive.discard(uuid)

    def _waiting(self) -> set[str]:
        return {raw.decode() for raw in self.broker.redis.links.command("ZRANGE", "{alsek:0}:r:q", 0, -1)}

    @invariant()
    def the_server_holds_what_the_model_holds(self) -> None:
        shown = {one.id: one for one in self.store}
        assert shown.keys() == self.world.schedules.keys()
        for name, known in self.world.schedules.items():
            one = shown[name]
            assert (one.version, one.state, one.next_ms, one.waiting_ms) == (
                known.version, STATES[known.state], known.next, known.waiting,
            )  # fmt: skip
            assert (one.fired, one.missed, one.dropped, one.last_uuid) == (
                known.fired, known.missed, known.dropped, known.last,
            )  # fmt: skip
        assert self._waiting() == self.world.alive

    @invariant()
    def no_instant_was_fired_twice(self) -> None:
        for name, instants in self.world.history.items():
            assert len(instants) == len(set(instants)), name

    def teardown(self) -> None:
        findings = [(one.kind, one.uuid, one.text) for one in audit(self.broker.redis).findings]
        self.broker.backend.close()
        assert findings == []


@pytest.mark.timeout(1800)
def test_any_sequence_of_verbs_ends_as_in_the_model(model_server: Server) -> None:
    ScheduleMachine.server = model_server
    run_state_machine_as_test(
        ScheduleMachine,
        settings=settings(
            max_examples=chaos_size(60, 3_000), stateful_step_count=30, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
