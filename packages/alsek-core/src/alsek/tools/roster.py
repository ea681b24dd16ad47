"""Who works here and which tasks there are, read from what workers publish of themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from alsek.storage.backends.redis.registry import Registry
from alsek.tools.facts import RunningInfo, TaskInfo, WorkerInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.storage.backends.redis.look import Look
    from alsek.storage.backends.redis.registry import Beat
    from alsek.storage.backends.redis.standard import RedisBackend


class About(msgspec.Struct):
    """What a worker says of itself once. Fields of a newer release are ignored."""

    host: str = ""
    pid: int = 0
    queues: dict[str, list[str]] = {}
    tasks: list[str] = []
    mechanisms: list[str] = []
    slots: int = 0
    version: str = ""
    python: str = ""


class Now(msgspec.Struct):
    """What a worker says of the moment of its beat. Times are ages, ms: no two clocks are compared."""

    state: str = "running"
    age: int = 0
    busy: int = 0
    processes: int = 0
    running: list[tuple[str, str, int]] = []


class Spec(msgspec.Struct):
    """What a worker says of a task."""

    queue: str = ""
    mechanism: str = ""
    timeout: int = 0
    max_retries: int | None = None
    doc: str = ""
    parameters: dict[str, Any] = {}
    keeps_results: bool = False


class Roster:
    """Reads the registry.

    Args:
        backend: Whose.
        look: Gives the time, and the tasks of messages.
    """

    def __init__(self, backend: RedisBackend, look: Look) -> None:
        self._registry = Registry(backend)
        self._look = look

    def workers(self) -> list[WorkerInfo]:
        """Give the workers that live, by host and pid."""
        beats = self._registry.workers(self._look.now_ms())
        nows = [_read(beat.text, Now) for beat in beats]
        tasks = self._look.tasks_of([uuid for now in nows for uuid, _, _ in now.running])
        found = [_worker(beat, now, tasks) for beat, now in zip(beats, nows, strict=True)]
        return sorted(found, key=lambda worker: (worker.host, worker.pid))

    def listeners(self) -> list[WorkerInfo] | None:
        """Give the workers that live, without what they run; `None`: no worker ever said that it is one."""
        beats = self._registry.workers(self._look.now_ms())
        if not beats and not self._registry.ever():
            return None
        return [_worker(beat, Now(), {}) for beat in beats]

    def tasks(self) -> list[TaskInfo]:
        """Give all tasks, by name."""
        listeners = self.listeners() or []
        found = []
        for name, text in self._registry.tasks(self._look.now_ms()).items():
            spec = _read(text, Spec)
            workers = sum(name in worker.tasks for worker in listeners)
            found.append(TaskInfo(name=name, workers=workers, **msgspec.structs.asdict(spec)))
        return found

    def hosts(self, workers: Sequence[str]) -> dict[str, str]:
        """Give the hosts of workers, those that are gone included, as far as they are remembered."""
        return {worker: _read(text, About).host for worker, text in self._registry.about(workers).items()}


def _worker(beat: Beat, now: Now, tasks: dict[str, str]) -> WorkerInfo:
    about = _read(beat.about, About)
    return WorkerInfo(
        id=beat.worker,
        host=about.host,
        pid=about.pid,
        state=now.state,
        queues=tuple(about.queues),
        narrowed={queue: tuple(names) for queue, names in about.queues.items() if names},
        tasks=tuple(about.tasks),
        mechanisms=tuple(about.mechanisms),
        slots=about.slots,
        busy=now.busy,
        processes=now.processes,
        running=tuple(RunningInfo(uuid, queue, tasks.get(uuid, ""), beat.at - age) for uuid, queue, age in now.running),
        started=beat.at - now.age,
        last_beat=beat.at,
        version=about.version,
        python=about.python,
    )


def _read(text: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return kind()  # of a release that says it otherwise: as good as nothing
