"""Tells those who look who this worker is, which tasks it has, and what it runs now: one command with each heartbeat.

Nothing that delivers depends on it: where Redis does not take it, the next beat tells again.
"""

from __future__ import annotations

import inspect
import math
import os
import platform
import socket
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from alsek.core.parameters import schema_of
from alsek.exceptions import AlsekError
from alsek.logging import get_logger
from alsek.storage.backends.redis.registry import Registry
from alsek_worker.ledger import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek.core.task import Task
    from alsek_worker.children import Child
    from alsek_worker.settings import Crew, Settings
    from alsek_worker.workload import Workload

log = get_logger(__name__)

#: Leases without a beat after which a worker counts as gone.
_LEASES: Final = 2

#: Who we are is told again after so long, seconds: what is remembered of tasks must not come to its end while we live.
_TELL_AGAIN_S: Final = 3_600.0

#: Messages named in a beat, the longest running first.
_MOST_RUNNING: Final = 50

#: Characters kept of a docstring.
_LONGEST_DOC: Final = 2_000

#: Bytes of the description of a task; beyond, its parameters are not described.
_LARGEST_SPEC: Final = 20_000


class Announcement:
    """Publishes a worker.

    Args:
        workload: Its tasks, and the broker.
        crews: Its children, as they should be.
        settings: Of the pool.
        children: Gives the children alive.
        state: Gives `starting`, `running` or `draining`.
    """

    def __init__(
        self,
        workload: Workload,
        crews: Sequence[Crew],
        settings: Settings,
        children: Callable[[], Sequence[Child]],
        state: Callable[[], str],
    ) -> None:
        self._registry = Registry(workload.broker.redis)
        self._workload = workload
        self._crews = crews
        self._settings = settings
        self._children = children
        self._state = state
        self._born_ms = now_ms()
        self._told = -_TELL_AGAIN_S
        #: When Redis took the last beat (monotonic seconds), and what it said.
        self._beaten, self._said = -math.inf, b""

    def beat(self) -> None:
        """Tell what happens now; the first time, now and then, and when that was lost, also who we are.

        A worker without work has nothing new to tell, and tells it once a lease.
        """
        worker, ttl_ms = self._settings.worker_id, self._settings.lease_ms * _LEASES
        now = time.monotonic()
        try:
            said, text = self._now()
            if said == self._said and now - self._beaten < 0.9 * self._settings.lease_ms / 1000:
                return
            if now - self._told >= _TELL_AGAIN_S or not self._registry.beat(worker, ttl_ms, text):
                self._registry.beat(worker, ttl_ms, text, self._about(), self._specs())
                self._told = now
            self._beaten, self._said = now, said
        except AlsekError as error:
            log.debug("worker.not_announced", reason=str(error))
        except Exception:
            # A task that cannot be described must not end the heartbeat, on which all leases depend.
            log.exception("worker.not_announced")

    def leave(self) -> None:
        """Tell that we have ended."""
        try:
            self._registry.leave(self._settings.worker_id)
        except AlsekError as error:
            log.debug("worker.not_announced", reason=str(error))

    def _now(self) -> tuple[bytes, bytes]:
        # What is worth a beat when it changes, and the beat.
        now, children = now_ms(), [child for child in self._children() if child.ready]
        entries = [(child, entry) for child in children for entry in child.ledger.entries() if entry.running]
        entries.sort(key=lambda one: one[1].started_ms)
        running = [
            (entry.uuid, child.settings.queues[entry.queue_index], max(0, now - entry.started_ms))
            for child, entry in entries[:_MOST_RUNNING]
        ]
        news = {"state": self._state(), "busy": len(entries), "processes": len(children), "running": running}
        return msgspec.json.encode(news), msgspec.json.encode(news | {"age": now - self._born_ms})

    def _about(self) -> bytes:
        queues: dict[str, set[str] | None] = {}
        for crew in self._crews:
            for queue, names in crew.subset.items():
                before = queues.get(queue, set())
                # A queue that any of our pools takes whole is taken whole.
                queues[queue] = None if not names or before is None else before | set(names)
        return msgspec.json.encode({
            "host": socket.gethostname(), "pid": os.getpid(),
            "queues": {queue: sorted(names or ()) for queue, names in queues.items()},
            "tasks": sorted(task.name for task in self._tasks()),
            "mechanisms": sorted({crew.kind for crew in self._crews}),
            "slots": sum(crew.ceiling * crew.concurrency for crew in self._crews),
            "version": version("alsek-worker"), "python": platform.python_version(),
        })  # fmt: skip

    def _tasks(self) -> list[Task]:
        names = {name for crew in self._crews for name in crew.tasks}
        return [task for name, task in self._workload.tasks.items() if name in names]

    def _specs(self) -> dict[str, bytes]:
        return {task.name: _spec(task) for task in self._tasks()}


def _spec(task: Task) -> bytes:
    injected = frozenset({"message"}) if task.takes_message else frozenset()
    spec: dict[str, Any] = {
        "queue": task.queue, "mechanism": task.mechanism, "timeout": task.timeout, "max_retries": task.max_retries,
        "doc": (inspect.getdoc(task.function) or "")[:_LONGEST_DOC], "keeps_results": task.result_store is not None,
        "parameters": schema_of(task.function, injected),
    }  # fmt: skip
    packed = msgspec.json.encode(spec)
    return packed if len(packed) <= _LARGEST_SPEC else msgspec.json.encode(spec | {"parameters": {}})
