"""The leader's work: ask what is due, decide what becomes of it, fire it; then sleep until something is due again."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from alsek.exceptions import AlsekError, BackendFullError, BackendUnavailableError
from alsek.logging import get_logger
from alsek.storage.backends.redis.schedules import MOST_SCHEDULES, Fired

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alsek.core.schedules import ScheduleStore
    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.schedules import Due, DueHand, Firing
    from alsek.storage.backends.redis.subscriber import Subscription
    from alsek_scheduler.election import Election
    from alsek_scheduler.ledger import Ledger
    from alsek_scheduler.planner import Planner
    from alsek_scheduler.settings import Settings

log = get_logger(__name__)

#: Schedules and messages in one call: two of them stand in line at a time, and keep Redis a few milliseconds.
_MOST_FIRED: Final = 25
_MOST_MESSAGES: Final = 50

#: Looks in one go after one that brought as much as it can: of a thousand that are due at once, ten see all.
_MOST_HANDS: Final = 10

#: Pause after Redis did not answer, seconds.
_PAUSE_S: Final = 0.2

#: Pause after anything else went wrong, seconds.
_FAILED_S: Final = 1.0

#: What a call that is under way gets to end when the lead is handed over, seconds.
_PATIENCE_S: Final = 0.5

#: How long further changes are waited for after one, seconds: of a thousand that come at once, one look sees them all.
_GATHER_S: Final = 0.005

#: Schedules are counted this often at most, seconds; for metrics.
_COUNT_S: Final = 1.0

#: How long it sleeps before it looks whether it is to stop, seconds; costs no command.
_SLICE_S: Final = 0.5


class Ticker:
    """Fires schedules while we lead.

    Args:
        store: Whose schedules.
        election: Tells whether we lead.
        planner: Decides.
        ledger: Counts.
        settings: How long to sleep at most.
    """

    def __init__(
        self, store: ScheduleStore, election: Election, planner: Planner, ledger: Ledger, settings: Settings
    ) -> None:
        self._store = store
        self._election = election
        self._planner = planner
        self._ledger = ledger
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alsek-ticker", daemon=True)
        self._count_at = 0.0
        #: Partitions that could not be served, and when to try again (monotonic seconds).
        self._blocked: dict[int, float] = {}
        #: When it last came by here (monotonic seconds); for probes.
        self.turned_at = time.monotonic()

    def start(self) -> None:
        """Fire from now on, whenever we lead."""
        self._thread.start()

    def stop(self) -> None:
        """End after the call that is under way; whoever waits for Redis in vain is not waited for."""
        self._stopping.set()
        self._thread.join(timeout=_PATIENCE_S)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.turned_at = time.monotonic()
            epoch = self._election.wait(_SLICE_S)
            if epoch is None:
                continue
            try:
                self._lead(epoch)
            except Exception as error:  # noqa: BLE001  (a scheduler that stops firing is worse than any error)
                self._stopping.wait(_told(error))

    def _lead(self, epoch: int) -> None:
        """Fire until we lead no longer; raises what the subscription raises."""
        self._planner.forget()
        with self._store.broker.redis.subscriber.open((self._store.keys.scheduler_channel,)) as told:
            while not self._stopping.is_set() and self._election.epoch == epoch:
                self.turned_at = time.monotonic()
                self._count()
                deadline = self._tick(epoch)
                if deadline is None:
                    return
                self._rest(epoch, told, deadline)

    def _count(self) -> None:
        now = time.monotonic()
        if now < self._count_at:
            return
        self._count_at = now + _COUNT_S
        try:
            self._ledger.counts = self._store.counts(patience=0)
        except AlsekError as error:
            # Only metrics want to know; whoever can be fired is.
            log.debug("count.failed", reason=str(error))

    def _rest(self, epoch: int, told: Subscription, deadline: float) -> None:
        """Sleep until then, or until somebody tells of a change."""
        while not self._stopping.is_set() and self._election.epoch == epoch:
            self.turned_at = now = time.monotonic()
            if now >= deadline:
                return
            if told.next(min(deadline, now + _SLICE_S)) is not None:
                break
        until = min(deadline, time.monotonic() + _GATHER_S)
        while time.monotonic() < until and told.next(until) is not None:
            pass

    def _tick(self, epoch: int) -> float | None:
        """Fire all that is due; gives when to look again (monotonic seconds), or `None`: another one leads.

        A partition that cannot be served, because its node is away or what stands there is damaged, is tried again
        after a pause, and does not hold up the others.
        """
        deadline = time.monotonic() + self._settings.look_around_ms / 1000
        for partition in range(self._store.keys.partitions):
            if (blocked_until := self._blocked.get(partition, 0.0)) > time.monotonic():
                deadline = min(deadline, blocked_until)
                continue
            try:
                again = self._serve(partition, epoch)
                self._blocked.pop(partition, None)
            except Exception as error:  # noqa: BLE001  (whatever it is, the other partitions have to be served)
                again = self._blocked[partition] = time.monotonic() + _told(error, partition=partition)
            if again is None:
                return None
            deadline = min(deadline, again)
        return deadline

    def _serve(self, partition: int, epoch: int) -> float | None:
        """Fire all that is due in one partition; as `_tick`."""
        hands = 1
        while True:
            if self._stopping.is_set() or self._election.epoch != epoch:
                return None
            looks = self._look(partition, epoch, hands)
            answered = time.monotonic()
            if not all(hand.leads for hand in looks):
                self._election.refused(epoch)
                return None
            # What was inserted between two looks has pushed others into the second one too.
            due = list({one.id: one for hand in looks for one in hand.due}.values())
            # What has been advanced may be due again at once, or soonest of all: look again after firing.
            if due:
                if not self._fire(partition, epoch, due, looks[-1].now_ms):
                    return None
                hands = _MOST_HANDS if len(due) >= hands * MOST_SCHEDULES else 1
            else:
                wait_ms = looks[-1].wait_ms
                return math.inf if wait_ms is None else answered + wait_ms / 1000

    def _fire(self, partition: int, epoch: int, due: Sequence[Due], now_ms: int) -> bool:
        """Fire what is due, deciding about the next ones while Redis is at work; `False`: we lead no longer."""
        sent: deque[list[Firing]] = deque()
        for reply in self._store.broker.redis.links.stream(self._calls(partition, epoch, due, now_ms, sent)):
            leads, fired_ms, outcomes = self._store.verbs.read_fire(reply)
            if not leads:
                self._election.refused(epoch)
                return False
            for firing, (code, uuids) in zip(sent.popleft(), outcomes, strict=True):
                if code == Fired.ADVANCED:
                    self._ledger.fired(firing, uuids, fired_ms)
                    self._planner.submitted(firing, uuids)
                elif code == Fired.QUEUE_DAMAGED:
                    self._planner.break_queue(firing)
                else:
                    # Somebody changed or fired it meanwhile: the next look sees how it stands now.
                    self._planner.drop(firing.id)
        return self._election.epoch == epoch

    def _calls(
        self, partition: int, epoch: int, due: Sequence[Due], now_ms: int, sent: deque[list[Firing]]
    ) -> Iterator[Call]:
        for batch in _batches(self._planner.plan(partition, due, now_ms)):
            if self._election.epoch != epoch:
                return
            sent.append(batch)
            yield self._store.verbs.fire(partition, epoch, self._settings.identity, batch)

    def _look(self, partition: int, epoch: int, hands: int) -> list[DueHand]:
        verbs, identity = self._store.verbs, self._settings.identity
        calls = [verbs.due(partition, epoch, identity, number * MOST_SCHEDULES) for number in range(hands)]
        # Not in one write: Redis would serve nobody else before all of them.
        return [verbs.read_due(reply) for reply in self._store.broker.redis.links.stream(calls)]


def _told(error: Exception, **where: object) -> float:
    """Log what went wrong; gives how long to wait before the next attempt, seconds."""
    if isinstance(error, BackendUnavailableError):
        log.debug("tick.unreachable", reason=str(error), **where)
        return _PAUSE_S
    if isinstance(error, AlsekError):
        log.error("tick.refused" if isinstance(error, BackendFullError) else "tick.failed", reason=str(error), **where)
    else:
        log.error("tick.failed", exc_info=error, **where)
    return _FAILED_S


def _batches(firings: Iterable[Firing]) -> Iterator[list[Firing]]:
    batch: list[Firing] = []
    messages = 0
    for firing in firings:
        if batch and (messages + len(firing.messages) > _MOST_MESSAGES or len(batch) >= _MOST_FIRED):
            yield batch
            batch, messages = [], 0
        batch.append(firing)
        messages += len(firing.messages)
    if batch:
        yield batch
