"""One process that owns the signals, the children and their leases, and runs no user code.

It sleeps until a child dies or reports, a signal comes, a revocation or a lost lease is
told, or a deadline is near. Everything that changes its view happens in this one loop;
other threads only post to it.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from enum import IntEnum
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek.storage.backends.redis.scripts import Code
from alsek_worker.announcement import Announcement
from alsek_worker.child import Post
from alsek_worker.children import Child, StartMethod
from alsek_worker.heartbeat import Heartbeat, Loss
from alsek_worker.ledger import Entry, Stop, now_ms
from alsek_worker.metrics import PoolMetrics
from alsek_worker.postmortem import Postmortem
from alsek_worker.revocation import Revocations
from alsek_worker.scarcity import Scarcity
from alsek_worker.settings import SHUTDOWN_GRACE_MS, Crew, Settings
from alsek_worker.staff import Staff
from alsek_worker.watch import Watch
from alsek_worker.workload import Source, Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek_worker.stopping import StopSignal

log = get_logger(__name__)

#: How long the last writes get when the pool ends; what Redis does not take then, it recovers by itself.
LAST_WRITES_S = 5.0


class PoolBrokenError(AlsekError):
    """The worker processes cannot start."""


class Phase(IntEnum):
    """How far the end of the pool has come."""

    RUNNING = 0
    DRAINING = 1
    STOPPING = 2
    KILLING = 3


class Supervisor:
    """Runs the children of a pool until somebody ends it.

    Args:
        crews: What kinds of children, and how many.
        source: How children find the tasks.
        workload: The same tasks, here.
        settings: The operator's choices.
        stop: What ends the pool.
        online: Called once, when all children that should be there are ready.
        draining: Called once, when the end begins.

    Attributes:
        heartbeat: Keeps the leases.
        metrics: What all children count.
        is_online: Whether all children were ready once.
        turned_ms: When the loop last turned (monotonic ms; 0: not yet).
    """

    def __init__(
        self,
        crews: Sequence[Crew],
        source: Source,
        workload: Workload,
        settings: Settings,
        stop: StopSignal,
        *,
        online: Callable[[], None] = lambda: None,
        draining: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._stop = stop
        self._online = online
        self._draining = draining
        self._method = StartMethod()
        self._staffs = [Staff(crew, self._hire) for crew in crews]
        self._numbers = 0
        self._phase = Phase.RUNNING
        self._phase_ends_ms = 0
        self.is_online = False
        self.turned_ms = 0
        self._posted: deque[Callable[[], None]] = deque()
        queues = list(dict.fromkeys(queue for crew in crews for queue in crew.subset))
        pairs = [(task.queue, name) for name, task in workload.tasks.items()]
        self.metrics = PoolMetrics(pairs, self.children, lambda: self.heartbeat.answers)
        self._postmortem = Postmortem(workload.broker, workload.tasks, settings.lease_ms, self.metrics.note)
        self._scarcity = Scarcity()
        self._watch = Watch(self._postmortem, settings)
        self._announcement = Announcement(workload, crews, settings, self.children, self._state)
        self.heartbeat = Heartbeat(
            workload.broker, queues, settings.beat_ms, self.children, self._lost,
            announce=self._announcement.beat, timed=self.metrics.beat,
        )  # fmt: skip
        self._revocations = Revocations(workload.broker, settings.worker_id, self._revoked)

    def run(self) -> None:
        """Work until stopped; then every child is gone and nothing is held.

        Raises:
            PoolBrokenError: Children die before they are ready, again and again.
        """
        with self._stop.listening():
            self.heartbeat.start()
            self._revocations.start()
            try:
                while self._turn():
                    pass
            finally:
                self._end()
        for staff in self._staffs:
            if staff.hopeless:
                raise PoolBrokenError(
                    f"The worker processes do not start ({staff.boot_failures} attempts): {staff.last_failure}"
                )

    def children(self) -> list[Child]:
        """All children alive; safe to call from any thread."""
        return [child for staff in self._staffs for child in tuple(staff.children)]

    def readiness(self) -> tuple[bool, str]:
        """Tell whether every kind of children takes work, and why not."""
        if self._phase is not Phase.RUNNING:
            return False, "the pool is shutting down"
        idle = [staff.crew.kind for staff in self._staffs if not any(child.ready for child in tuple(staff.children))]
        return not idle, f"no {' and no '.join(idle)} child is ready" if idle else "children of every kind are ready"

    def _turn(self) -> bool:
        self.turned_ms = now = now_ms()
        due = self._advance(now)
        if self._phase is Phase.RUNNING:
            for staff in self._staffs:
                staff.look(now)
                due.append(staff.fill(now))
        children = self.children()
        if not children and self._phase is not Phase.RUNNING:
            return False
        due.append(self._watch.look(children, now))
        self._greet()
        self._sleep(children, min(time for time in due if time))
        return True

    def _sleep(self, children: list[Child], until_ms: int) -> None:
        sentinels = {child.sentinel: child for child in children}
        lines = {child.line: child for child in children if not child.deaf}
        timeout = max(0, until_ms - now_ms()) / 1000
        ready = wait([self._stop.bell.fileno(), *sentinels, *lines], timeout)
        self._stop.bell.hush()
        while self._posted:
            self._posted.popleft()()
        for line in lines.keys() & ready:
            self._read(lines[line])
        for sentinel in sentinels.keys() & ready:
            self._bury(sentinels[sentinel])

    # The life of a child.

    def _hire(self, crew: Crew) -> Child:
        self._numbers += 1
        settings = self._settings.for_child(crew, self._numbers)
        source = Source(self._source.modules, crew.tasks or self._source.names, self._source.main_path)
        child = self._method.start(crew, Post(crew.pool, source, settings, dict(os.environ)))
        self.metrics.enlist(child)
        return child

    def _read(self, child: Child) -> None:
        for report in child.reports():
            match report:
                case ("ready",):
                    child.ready = True
                case ("failed", text):
                    child.failure = str(text)
                case ("retire", why):
                    log.info("child.retires", pid=child.pid, reason=why)
                    child.leaving = True
                case ("full",):
                    self._staff_of(child).pressed()
                case _:  # ("look",): the next turn looks
                    pass

    def _bury(self, child: Child) -> None:
        self._read(child)
        child.process.join()
        held = [entry for entry in child.ledger.entries() if not self._settle_interrupted(child, entry)]
        crash = ""
        if not child.killed_because:
            crash = child.death()
            if child.process.exitcode == -signal.SIGKILL:
                crash += f" ({self._scarcity.hint()})"
        elif child.harmed:
            crash = child.killed_because
        if held or not (child.leaving or self._phase):
            log.warning("child.died", pid=child.pid, how=child.killed_because or child.death(), held=len(held))
        self._postmortem.release(held, child.settings, crash)
        self._watch.forget(child)
        self._staff_of(child).left(child, now_ms(), busy=any(entry.running for entry in held))
        self.metrics.retire(child, died=bool(crash or child.killed_because or not (child.leaving or self._phase)))
        child.close()

    def _settle_interrupted(self, child: Child, entry: Entry) -> bool:
        one = child.interrupted.get(entry.generation)
        if one is None or one.reason is Stop.SHUTDOWN:
            return False
        if one.reason is Stop.TIMEOUT and one.settle_at_ms:
            self._postmortem.time_out(entry)
        elif one.reason is Stop.REVOKED:
            self._postmortem.mourn(entry)
        return True

    def _staff_of(self, child: Child) -> Staff:
        return next(staff for staff in self._staffs if staff.crew is child.crew)

    def _greet(self) -> None:
        if not self.is_online and self._phase is Phase.RUNNING and all(staff.complete for staff in self._staffs):
            self.is_online = True
            self.heartbeat.soon()
            self._online()

    def _state(self) -> str:
        return "draining" if self._phase is not Phase.RUNNING else "running" if self.is_online else "starting"

    # What other threads tell.

    def _post(self, work: Callable[[], None]) -> None:
        self._posted.append(work)
        self._stop.bell.ring()

    def _lost(self, losses: list[Loss]) -> None:
        def drop() -> None:
            for loss in losses:
                if loss.child in self.children():
                    drop_it = self._watch.revoke if loss.code == Code.REVOKED else self._watch.lose
                    drop_it(loss.child, loss.entry, now_ms())

        self._post(drop)

    def _revoked(self, uuid: str) -> None:
        def drop() -> None:
            for child in self.children():
                for entry in child.ledger.entries():
                    if entry.uuid == uuid:
                        self._watch.revoke(child, entry, now_ms())

        self._post(drop)

    # The end.

    def _advance(self, now: int) -> list[int]:
        hopeless = any(staff.hopeless for staff in self._staffs)
        if self._phase is Phase.RUNNING and (self._stop.received or hopeless):
            self._phase, self._phase_ends_ms = Phase.DRAINING, now + self._settings.drain_timeout_ms
            self.heartbeat.soon()
            self._draining()
            for child in self.children():
                child.leaving = True
                if child.ready:
                    child.order("drain")
                else:
                    child.kill("was still starting")
        if self._phase is Phase.DRAINING and (self._stop.urgent or hopeless or now >= self._phase_ends_ms):
            self._phase, self._phase_ends_ms = Phase.STOPPING, now + SHUTDOWN_GRACE_MS
            for child in self.children():
                self._watch.stop(child, now)
        if self._phase is Phase.STOPPING and now >= self._phase_ends_ms:
            self._phase, self._phase_ends_ms = Phase.KILLING, 0
            for child in self.children():
                child.kill("did not stop in time")
        return [self._phase_ends_ms]

    def _end(self) -> None:
        for child in self.children():  # only when something went wrong: an ordinary end leaves none
            child.kill("lost its supervisor's care")
            self._bury(child)
        self._postmortem.wait(LAST_WRITES_S)
        self._revocations.stop()
        self.heartbeat.stop()
        self._announcement.leave()
        log.debug("supervisor.ended", pid=os.getpid())
