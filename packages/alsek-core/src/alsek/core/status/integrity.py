"""Finds statuses that promise more to come although their message is gone, and says so in them.

Where the engine writes the statuses itself this cannot happen; a tracker of its own Redis, or one that overrides
`set`, may lose its last word in a crash.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.core.message import Message
from alsek.core.status.abstract import unpack_update
from alsek.core.status.standard import StatusTracker
from alsek.core.status.types import TERMINAL_TASK_STATUSES, StatusUpdate, TaskStatus
from alsek.exceptions import BackendError, ValidationError
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.storage.backends.redis.values import replace_status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.core.broker import Broker

log = logging.getLogger(__name__)

#: Statuses looked at in one step: no command takes Redis longer than a millisecond or so.
_STEP: Final = 500

#: An hour, as upstream's default trigger.
_EVERY_S: Final = 3_600.0

#: A trigger that fires for ever at once would keep a processor and Redis busy.
_SHORTEST_PAUSE_S: Final = 1.0


class StatusTrackerIntegrityScanner:
    """Sets the statuses of vanished messages to UNKNOWN, which expires like a terminal one.

    A message that ended less than a receipt ago (`Broker.receipt_ms`) still counts as there: its last status may be on
    its way. A status that changes while it is looked at is left alone.

    Args:
        status_tracker: Whose statuses.
        broker: Knows the messages.
        trigger: When to scan, once `start` was called: seconds between two scans, or anything with APScheduler's
            `get_next_fire_time`; `None`: only by hand.

    Raises:
        ValueError: An `AsyncStatusTracker`.
        TypeError: The statuses are not kept in Redis.
    """

    def __init__(self, status_tracker: StatusTracker, broker: Broker, trigger: Any = _EVERY_S) -> None:
        if getattr(status_tracker.backend, "IS_ASYNC", False):
            raise ValueError("the scanner needs a StatusTracker, not an AsyncStatusTracker")
        if not isinstance(status_tracker.backend, RedisBackend):
            raise TypeError(f"statuses in a {type(status_tracker.backend).__name__} cannot be scanned")
        self.status_tracker = status_tracker
        self.broker = broker
        self.trigger = trigger
        self._backend = status_tracker.backend
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def scan(self) -> int:
        """Look at all statuses once.

        Returns:
            How many were set to UNKNOWN.

        Raises:
            BackendUnavailableError: Redis did not answer.
        """
        return sum(map(self._give_up, self._steps()))

    def start(self) -> None:
        """Scan in a daemon thread whenever the trigger fires; does nothing while it runs already.

        Raises:
            ValueError: There is no trigger.
        """
        if self.trigger is None:
            raise ValueError("without a trigger there is only scan()")
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="alsek-status-scan", daemon=True)
            self._thread.start()

    def stop(self, timeout: float | None = 5.0) -> None:
        """End the thread; a scan that runs stops after its present step.

        Args:
            timeout: Longest wait for that, seconds.
        """
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        fired: datetime | None = None
        while (pause := self._pause(fired)) is not None and not self._stop.wait(pause):
            fired = datetime.now(UTC)
            try:
                count = sum(map(self._give_up, takewhile(lambda _: not self._stop.is_set(), self._steps())))
            except BackendError as error:
                log.warning("Not all statuses could be looked at; the next scan will: %s", error)
            except Exception:
                # From a `set` of the user's own; other statuses shall not wait for ever because of it.
                log.exception("%s.set() failed while statuses were given up.", type(self.status_tracker).__name__)
            else:
                log.info("Gave up %s statuses whose message is gone.", count)

    def _pause(self, fired: datetime | None) -> float | None:
        """Seconds until the next scan; `None`: there is none."""
        if not hasattr(self.trigger, "get_next_fire_time"):
            return max(_SHORTEST_PAUSE_S, float(self.trigger))
        now = datetime.now(UTC)
        following = self.trigger.get_next_fire_time(fired, now)
        return None if following is None else max(_SHORTEST_PAUSE_S, (following - now).total_seconds())

    def _steps(self) -> Iterator[list[_Open]]:
        """Give the statuses that are not terminal, step by step."""
        backend = self._backend
        names: list[str] = []
        for partition in range(backend.keys.partitions):
            for name in backend.scan(f"{backend.keys.tag(partition)}status:*"):
                names.append(name)
                if len(names) >= _STEP:
                    yield self._open_ones(names)
                    names = []
            yield self._open_ones(names)
            names = []

    def _open_ones(self, names: Sequence[str]) -> list[_Open]:
        if not names:
            return []
        texts = self._backend.links.command("MGET", *names)
        found = []
        for name, text in zip(names, texts, strict=True):
            update = unpack_update(self._backend, text) if text is not None else None
            # Names of queues and tasks have no colon in them, uuids may.
            stem = name.partition("}:status:")[2].split(":", 2)
            if update is None or len(stem) != 3:
                continue
            if update.status not in TERMINAL_TASK_STATUSES and update.status is not TaskStatus.UNKNOWN:
                found.append(_Open(name, text, *stem))
        return found

    def _give_up(self, statuses: Sequence[_Open]) -> int:
        return sum(self._replace(status) for status in self._orphans(statuses))

    def _orphans(self, statuses: Sequence[_Open]) -> list[_Open]:
        """Sort out those whose message is gone: in one command where none is, else by halves."""
        keys = self.broker.keys
        groups: dict[int, list[_Open]] = {}
        for status in statuses:
            groups.setdefault(keys.partition(status.uuid), []).append(status)
        orphans: list[_Open] = []
        open_groups = list(groups.values())
        while open_groups:
            group = open_groups.pop()
            there = self.broker.redis.links.command("EXISTS", *[keys.record(status.uuid) for status in group])
            if there == 0:
                orphans += group
            elif there < len(group):
                middle = len(group) // 2
                open_groups += [group[:middle], group[middle:]]
        return orphans

    def _replace(self, status: _Open) -> bool:
        tracker = self.status_tracker
        try:
            message = Message(status.task_name, queue=status.queue, uuid=status.uuid)
        except ValidationError:
            log.warning("This is no name of a status of ours: %r", status.name)
            return False
        if type(tracker).set is not StatusTracker.set:
            # Statuses are mirrored elsewhere: that place has to hear of it, too.
            tracker.set(message, TaskStatus.UNKNOWN)
            return True
        text = self._backend.serializer.forward(StatusUpdate(TaskStatus.UNKNOWN).as_dict())
        channel = tracker.get_pubsub_name(message) if tracker.enable_pubsub else ""
        call = replace_status(status.name, status.text, text, tracker.kept_ms(TaskStatus.UNKNOWN), channel)
        return bool(self._backend.links.execute([call])[0])


class _Open(NamedTuple):
    """A status after which more should come."""

    name: str
    text: bytes
    queue: str
    task_name: str
    uuid: str
