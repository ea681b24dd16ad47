"""Keeps the slots of a child busy: one thread that claims, settles and sleeps, and never runs user code.

What finished meanwhile and what is wanted next share one write, so a busy child costs one round trip for many messages,
and an idle one none. Executors hand in what they finished with `finish`; that never blocks.
"""

from __future__ import annotations

import logging
import math
import select
import time
from collections import deque
from contextlib import suppress
from random import random
from typing import TYPE_CHECKING, Final

from alsek.core.settlement import Released, Settlement, Succeeded
from alsek.exceptions import BackendError, BackendUnavailableError, LeaseLostError, RevokedError, TerminationError
from alsek.storage.backends.redis.verbs import MOST_IN_A_CALL
from alsek_worker.bell import Bell
from alsek_worker.holding import Holding
from alsek_worker.pace import Pace, Pressure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.consumer import Consumer
    from alsek.core.message import Message
    from alsek_worker.attempt import Attempt
    from alsek_worker.control import Control, Order
    from alsek_worker.execution import Execution
    from alsek_worker.ledger import Ledger
    from alsek_worker.settings import Settings
    from alsek_worker.slots import Slots

log = logging.getLogger("alsek.core.broker")

#: What was taken ahead and not started for so long goes back to the queue, seconds.
_STALE_S: Final = 0.25

#: While enough is in hand, what finished is gathered for so long before it is settled, seconds.
_GATHER_S: Final = 0.002

#: What an executor needs to wake up, seconds: so long the intake leaves it the GIL.
_HAND_OVER_S: Final = 50e-6

#: The intake looks around at least so often, seconds; this costs Redis nothing.
_LONGEST_NAP_S: Final = 5.0

_LONGEST_PAUSE_S: Final = 1.0


class Intake:
    """The claim, settle and sleep loop of one child.

    Args:
        consumer: Claims and settles.
        execution: Knows the tasks.
        slots: The pool.
        ledger: Where the supervisor reads what is held.
        control: Line to the supervisor.
        settings: Of this child.
    """

    def __init__(
        self,
        consumer: Consumer,
        execution: Execution,
        slots: Slots,
        ledger: Ledger,
        control: Control,
        settings: Settings,
    ) -> None:
        self._consumer = consumer
        self._execution = execution
        self._slots = slots
        self._ledger, self._tally = ledger, ledger.tally
        self._control = control
        self._settings = settings
        self._done: deque[Attempt] = deque()
        self._unsettled: list[Attempt] = []
        self._held = Holding(ledger, execution, settings.queues)
        self._orders: deque[Order] = deque()
        self._pace = Pace(settings.concurrency, settings.prefetch_window_ms / 1000)
        self._accepting = True
        self._resting = False
        #: Whether the sleep under way began while something was held.
        self._beside_work = False
        self._pause_s = 0.0
        self._napping = False
        self._bell = Bell()
        self._pressure = Pressure(ledger)
        #: When an executor last started a message, and when deadlines are looked at next (monotonic seconds).
        self.last_start, self.next_look = 0.0, math.inf

    # -- for executors and the control thread --------------------------------------------------------------------

    def begin(self, attempt: Attempt) -> bool:
        """Note that an attempt starts now.

        Returns:
            `False` when it was revoked or lost while it waited: it is finished then, and must not run.
        """
        if attempt.decided:
            self.finish(attempt)
            return False
        now = time.monotonic()
        attempt.started = self.last_start = now
        attempt.deadline = deadline = now + attempt.message.timeout / 1000
        if self._ledger.start(attempt.slot, int(now * 1000), int(deadline * 1000)):
            self._control.tell("look")
        if deadline < self.next_look:
            self.next_look = deadline
            self.ring()
        return True

    def finish(self, attempt: Attempt) -> None:
        """Hand in an attempt that is over; its settlement, if it has one, is sent soon."""
        attempt.ended = time.monotonic()
        self._done.append(attempt)
        if self._napping:
            self.ring()

    def obey(self, order: Order) -> None:
        """Take an order of the supervisor (from the control thread)."""
        self._orders.append(order)
        self.ring()

    def ring(self) -> None:
        """Wake the intake."""
        self._napping = False
        self._bell.ring()

    def retire(self, why: str) -> None:
        """Take no new work, finish what is held, and have the supervisor replace this child."""
        if self._accepting:
            self._control.tell("retire", why)
            self._orders.append(("drain",))
            self.ring()

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Claim and settle until an order or a limit ends it and nothing is held any more."""
        while self._accepting or self._held or self._done:
            now = time.monotonic()
            self._ledger.tick_ms = int(now * 1000)
            while self._orders:
                self._carry_out(self._orders.popleft())
            if now >= self.next_look:
                self.next_look = math.inf
                self.next_look = min(self.next_look, self._slots.overdue(now))
            self._send_back_stale(now)
            self._unsettled += self._collect()
            try:
                self._exchange()
                self._lie_down_again()
                self._pause_s = 0.0
            except BackendUnavailableError as error:
                self._endure(error)
            except BackendError as error:
                log.error("Redis refused what it never should: %s", error)
                self._pause_s = _LONGEST_PAUSE_S
            self._nap()
        self._consumer.close()

    def _collect(self) -> list[Attempt]:
        ended = [self._done.popleft() for _ in range(len(self._done))]
        self._pace.note(ended)
        for attempt in ended:
            if attempt.settlement is None:
                self._let_go(attempt)
                self._tally.dropped(attempt)
        return [attempt for attempt in ended if attempt.settlement is not None]

    def _exchange(self) -> None:
        want = 0 if self._resting or not self._accepting else self._room()
        if not self._unsettled and want <= 0 and not self._consumer.owed:
            return
        sent = self._unsettled
        settlements: list[Settlement] = [a.settlement for a in sent if a.settlement is not None]
        talkative = log.isEnabledFor(logging.INFO)
        if talkative:
            for settlement in settlements:
                if isinstance(settlement, Succeeded):
                    log.info("Removing %s...", settlement.message.summary)
        began = time.monotonic()
        codes, messages = self._consumer.exchange(settlements, max(0, want))
        self._tally.exchanged(time.monotonic() - began)
        self._unsettled = []
        for attempt, settlement, code in zip(sent, settlements, codes, strict=True):
            if not code.accepted:
                self._execution.refused(attempt, settlement, code)
            elif talkative and isinstance(settlement, Succeeded):
                log.info("Removed %s.", settlement.message.summary)
            self._tally.settled(attempt, settlement, code)
            self._let_go(attempt)
        self._take(messages)
        if want > 0:
            self._rest_unless(more=len(messages) >= want)

    def _take(self, messages: Sequence[Message]) -> None:
        attempts = [self._held.hold(message) for message in messages]
        self._tally.claimed(messages)
        if self._accepting:
            self._slots.deliver(attempts)
        else:  # the late answer to a claim made before the drain
            self._give_back(attempts)

    def _rest_unless(self, *, more: bool) -> None:
        if self._pressure.note(full=more):
            self._control.tell("full")
        if not more and self._accepting and not self._consumer.owed:
            # What runs may keep this thread from noting what a standing claim brings: only who is idle leaves one.
            self._beside_work = bool(self._held)
            self._consumer.fall_asleep(0 if self._beside_work else self._room())
            self._resting = True

    def _lie_down_again(self) -> None:
        # What fell asleep beside running work left no claim; as soon as nothing is held, one is left.
        if self._resting and self._beside_work and not self._held and self._consumer.may_stand:
            self._take(self._consumer.rouse())
            self._resting = False

    def _let_go(self, attempt: Attempt) -> None:
        if not self._held.let_go(attempt):
            return
        limit = self._settings.max_tasks_per_child
        if limit is not None and self._held.finished >= limit:
            self.retire(f"it ran {limit} tasks")

    def _room(self) -> int:
        # What is about to be settled makes room in the same write.
        room = self._settings.concurrency + self._pace.ahead - (len(self._held) - len(self._unsettled))
        return min(room, self._ledger.vacant, MOST_IN_A_CALL)

    def _send_back_stale(self, now: float) -> None:
        # A long task must not hold its neighbours' messages: what was taken ahead and cannot start goes back.
        waits_for = now - self.last_start if self.last_start and len(self._held) > self._settings.concurrency else 0.0
        if waits_for > _STALE_S and self._give_back(self._slots.take_back()):
            self._pace.stumble(_STALE_S)

    def _give_back(self, attempts: Sequence[Attempt]) -> bool:
        for attempt in attempts:
            if attempt.win():
                attempt.settlement = Released(attempt.message)
        self._done += attempts
        return bool(attempts)

    # -- orders --------------------------------------------------------------------------------------------------

    def _carry_out(self, order: Order) -> None:
        match order:
            case ("drain",):
                self._stop_accepting()
            case ("stop", *_):
                self._stop_accepting()
                for attempt in self._held:
                    if not attempt.decided:
                        self._slots.interrupt(attempt, TerminationError)
            case ("revoke", str(uuid), str(token)):
                self._drop(uuid, token, RevokedError)
            case ("lost", str(uuid), str(token)):
                self._drop(uuid, token, LeaseLostError)

    def _stop_accepting(self) -> None:
        self._accepting = self._resting = False
        self._give_back(self._slots.take_back())
        with suppress(BackendUnavailableError):  # what its claim may have taken comes back when the lease is over
            self._take(self._consumer.rouse())

    def _drop(self, uuid: str, token: str, error: type[BaseException]) -> None:
        attempt = self._held.get(uuid)
        if attempt is None or attempt.message.lease is None or (token and attempt.message.lease.token != token):
            return
        if attempt.started:
            self._slots.interrupt(attempt, error)
        else:
            attempt.interruption = error
            attempt.win()  # it will be skipped when its turn comes

    # -- sleeping ------------------------------------------------------------------------------------------------

    def _endure(self, error: BackendUnavailableError) -> None:
        if not self._pause_s:
            log.warning("Redis is away; what runs goes on, and is settled when it is back: %s", error)
        self._resting = False
        self._pause_s = min(_LONGEST_PAUSE_S, max(0.05, self._pause_s * 2))

    def _gathers(self) -> bool:
        """Whether enough is left to do to let more finish before the next write."""
        if not self._accepting or self._pause_s or self._resting or self._orders:
            return False
        return self._pace.gathers(len(self._done), len(self._held))

    def _nap(self) -> None:
        if not self._accepting and not self._held:
            return
        if self._gathers():
            time.sleep(_GATHER_S)
            return
        now = time.monotonic()
        if self._pause_s:
            wake_at = now + self._pause_s * (0.5 + random() / 2)  # noqa: S311  (jitter)
        elif not self._resting and self._accepting and (self._room() > 0 or self._consumer.owed):
            return
        else:
            wake_at = now + _LONGEST_NAP_S
            if self._resting:
                wake_at = min(wake_at, self._consumer.overdue)
            if len(self._held) > self._settings.concurrency:
                wake_at = min(wake_at, max(self.last_start, now) + _STALE_S)
        wake_at = min(wake_at, self.next_look)
        self._napping = True
        if (self._done and not self._pause_s) or self._orders:
            self._napping = False
            return
        try:
            self._listen(wake_at - now)
        except BackendUnavailableError as error:
            self._napping = False
            self._endure(error)

    def _listen(self, seconds: float) -> None:
        # Until somebody rings, Redis wakes us, or the time is over.
        sources = [self._bell.fileno()]
        asleep = self._resting and self._consumer.asleep
        if asleep:
            sources.append(self._consumer.fileno())
        ready, _, _ = select.select(sources, [], [], max(0.0, seconds))
        self._napping = False
        self._bell.silence()
        if asleep and (sources[1] in ready or time.monotonic() > self._consumer.overdue):
            self._resting = False
            messages, more = self._consumer.wake_up()
            self._take(messages)
            time.sleep(_HAND_OVER_S if messages else 0)
            if self._room() > 0:
                self._rest_unless(more=more)
