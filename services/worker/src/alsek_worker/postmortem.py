"""Settles what a child cannot settle any more: because it is dead, or stuck, or out of time.

Each case runs in a thread of its own, since hooks are user code and Redis may be away; the
supervisor never waits for either. Every write carries the token of the child's claim, so
whatever the child still managed to write stands, and this changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from random import random
from typing import TYPE_CHECKING

from alsek.core.envelope import death_note
from alsek.core.message import Lease, Message
from alsek.core.settlement import Released, Settlement
from alsek.exceptions import BackendUnavailableError, CrashLoopError
from alsek.logging import get_logger
from alsek.storage.backends.redis.scripts import Code
from alsek_worker.claims import unwritten
from alsek_worker.execution import Execution
from alsek_worker.tally import OTHER, REVOKED, counters_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alsek.core.broker import Broker
    from alsek.core.task import Task
    from alsek_worker.ledger import Entry
    from alsek_worker.settings import Settings

log = get_logger(__name__)

Note = Callable[[str, str, Iterable[int]], None]

#: Longest pause between attempts while Redis is away, seconds.
LONGEST_PAUSE_S = 1.0


class Postmortem:
    """Gives back and settles leases of others.

    Args:
        broker: Whose messages.
        tasks: By name; their hooks are called.
        patience_ms: How long an unreachable Redis is tried; after a lease, recovery is the engine's.
        note: Called with queue, task and counters (see `tally`) of what was settled here.
    """

    def __init__(
        self, broker: Broker, tasks: Mapping[str, Task], patience_ms: int, note: Note = lambda *_: None
    ) -> None:
        self._broker = broker
        self._execution = Execution(tasks, broker)
        self._patience_s = patience_ms / 1000
        self._note = note
        self._cases: list[threading.Thread] = []

    def release(self, entries: Sequence[Entry], child: Settings, crash: str = "") -> None:
        """Give a dead child's messages back.

        Args:
            entries: From its ledger; what it claimed and did not write there is found besides.
            child: Its settings.
            crash: What happened to it, if what it ran may be the cause: running messages are then
                charged a delivery, and end as dead letters when that was the last one.
        """
        settlements: list[Settlement] = []
        for entry in entries:
            message = _reference(entry, child.queues)
            if crash and entry.running:
                note = death_note(CrashLoopError(f"its worker process {crash} while it ran"))
                settlements.append(Released(message, counts=True, error=note))
            else:
                settlements.append(Released(message))
        known = {entry.uuid for entry in entries}
        self._open(lambda: self._release(settlements, child.consumer_id, known, crash))

    def time_out(self, entry: Entry) -> None:
        """Settle a message that ran into its time limit, as a failure of its task: retried, or failed."""
        self._open(lambda: self._time_out(entry))

    def mourn(self, entry: Entry) -> None:
        """Run the hooks of a message that was revoked, and whose process did not live to run them."""
        self._open(lambda: self._mourn(entry))

    def wait(self, timeout_s: float) -> None:
        """Wait until all cases are closed, or the time is over."""
        deadline = time.monotonic() + timeout_s
        for case in self._cases:
            case.join(max(0.0, deadline - time.monotonic()))

    def _open(self, case: Callable[[], None]) -> None:
        self._cases = [thread for thread in self._cases if thread.is_alive()]
        thread = threading.Thread(target=self._insist, args=(case,), name="postmortem", daemon=True)
        self._cases.append(thread)
        thread.start()

    def _insist(self, case: Callable[[], None]) -> None:
        deadline = time.monotonic() + self._patience_s
        pause = 0.05
        while True:
            try:
                case()
                return
            except BackendUnavailableError as error:
                if time.monotonic() > deadline:
                    log.warning("postmortem.abandoned", reason=str(error))
                    return
            time.sleep(pause * (0.5 + random() / 2))  # noqa: S311  (jitter, not a secret)
            pause = min(LONGEST_PAUSE_S, pause * 2)

    def _release(self, settlements: list[Settlement], consumer_id: str, known: set[str], crash: str) -> None:
        self._give_back(settlements, crash)
        self._give_back([Released(message) for message in unwritten(self._broker, consumer_id, known)], crash)

    def _give_back(self, settlements: Sequence[Settlement], crash: str) -> None:
        codes = self._broker.settle(settlements) if settlements else []
        for settlement, code in zip(settlements, codes, strict=True):
            message = settlement.message
            if crash and code.accepted:
                found = self._broker.find(message.uuid)
                self._note(message.queue, found.task_name if found else OTHER, counters_of(settlement, code))
            if code == Code.DEAD:
                log.error("message.poisonous", uuid=message.uuid, queue=message.queue, fate=crash)
                self._tell_of_death(message.uuid, crash)
            elif code.accepted:
                log.info("message.released", uuid=message.uuid, queue=message.queue, fate=crash or "was stopped")

    def _tell_of_death(self, uuid: str, crash: str) -> None:
        message = self._broker.find(uuid)
        if message is not None:
            self._execution.buried(message, CrashLoopError(f"its worker process {crash} while it ran"))

    def _time_out(self, entry: Entry) -> None:
        message = self._broker.find(entry.uuid)
        if message is not None and message.lease is not None and message.lease.token == entry.token:
            error = TimeoutError(f"not finished within its timeout of {message.timeout:,} ms")
            settlement = self._execution.settle_failure(message, error)
            if settlement is not None:
                self._note(message.queue, message.task_name, counters_of(settlement, Code.DONE))

    def _mourn(self, entry: Entry) -> None:
        message = self._broker.find(entry.uuid)
        if message is not None:
            self._note(message.queue, message.task_name, (REVOKED,))
            self._execution.revoked(message)


def _reference(entry: Entry, queues: Sequence[str]) -> Message:
    message = Message("unknown", queue=queues[entry.queue_index], uuid=entry.uuid)
    message.lease = Lease(entry.token, 0, 0, 0.0)
    return message
