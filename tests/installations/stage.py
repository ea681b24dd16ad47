"""Where an installation of Redis is put to work: pools on it, a producer that never rests, and the judge."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.fsck import audit
from alsek.tools.inspector import Inspector
from harness.checker import DONE_STATES, Verdict, check
from harness.eventually import eventually
from harness.journal import read_journal
from harness.processes import Process, alsek

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.journal import Event, Journal
    from harness.processes import Processes

PROGRAMS = Path(__file__).with_name("programs")

#: Pause of the producer after each message, seconds: a load that leaves the machine to the servers.
_PAUSE_S = 0.004


class Stage:
    """One installation under load.

    Args:
        url: Address of the installation.
        partitions: Of the messages.
        processes: Starts the pools.
        journal: Announced to them.
    """

    def __init__(self, url: str, partitions: int, processes: Processes, journal: Journal, **environment: str) -> None:
        self.url = url
        self.journal = journal
        self._processes = processes
        self._env = {"ALSEK_REDIS_URL": url, "ROAM_PARTITIONS": str(partitions), **environment}
        self.broker = Broker(RedisBackend(url, partitions=partitions), receipt_ms=86_400_000)
        self.inspector = Inspector(self.broker)

    def pool(self, command: str = "worker", *options: str) -> Process:
        """Start a pool and wait until it is online."""
        pool = self._processes.start(alsek(command, "roaming", *options), name=command, env=self._env, cwd=PROGRAMS)
        pool.wait_for_line("Worker pool online.", 30)
        return pool

    def submit(self, task: str = "wander", queue: str = "roam", **kwargs: object) -> Message:
        """Enqueue one message, and write down what came of it."""
        message = Message(task, queue=queue, kwargs=kwargs, mechanism="thread" if queue == "roam" else "async")
        with self.journal.calling("submit", message.uuid, unknown=(BackendUnavailableError,)):
            self.broker.submit(message)
        return message

    def events(self) -> list[Event]:
        """All that was written down."""
        return read_journal(self.journal.directory)

    def ended(self, count: int, timeout: float = 60.0) -> None:
        """Return as soon as so many messages ran to their end."""
        eventually(
            lambda: len({event.uuid for event in self.events() if event.kind == "END"}) >= count,
            timeout,
            what=lambda: f"{count} messages ran\n{self.logs()}",
            interval=0.05,
        )

    def drained(self, timeout: float = 60.0) -> None:
        """Return as soon as nothing is waiting, delayed or running."""
        eventually(lambda: not self._open(), timeout, what=lambda: f"all have ended\n{self.logs()}", interval=0.05)

    def verdict(self, max_duplicates: int | None = 0, kills: Sequence[int] = (), unheard_ms: int = 100) -> Verdict:
        """Audit what is stored, and judge the run.

        Args:
            max_duplicates: Allowed starts beyond the first.
            kills: When primaries were lost (monotonic ns): what was accepted around then and no replica had heard is
                gone, as nothing but WAIT could rule out. Usually that is nothing at all.
            unheard_ms: How far from there.
        """
        report = audit(self.broker.redis)
        assert report.ok, report.findings[:5]
        events = self.events()
        verdict = check(events, self._states({event.uuid for event in events}))
        accepted = {event.uuid: event.t for event in events if event.kind == "OK" and event.op == "submit"}
        at_a_kill = [u for u in verdict.lost if any(abs(accepted[u] - kill) < unheard_ms * 1_000_000 for kill in kills)]
        replace(verdict, lost=tuple(set(verdict.lost) - set(at_a_kill))).assert_ok(max_duplicates)
        return verdict

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join("\n".join(process.log.splitlines()[-30:]) for process in self._processes.started)

    def close(self) -> None:
        """Let go of the connections."""
        self.inspector.close()
        self.broker.redis.close()

    def _open(self) -> int:
        try:
            return sum(queue.ready + queue.delayed + queue.running for queue in self.inspector.queues())
        except BackendUnavailableError:
            return 1

    def _states(self, uuids: Iterable[str]) -> dict[str, str]:
        states = {}
        done = next(iter(DONE_STATES))
        for uuid in uuids:
            letter = self.broker.redis.record(uuid).get(b"s", b"").decode()
            if letter and letter not in "rdl":
                states[uuid] = done if letter == "S" else letter
        return states


class Producer:
    """A thread that enqueues for as long as it is not stopped, whatever happens to Redis.

    Args:
        stage: Where to.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self.accepted = 0
        self.refused = 0
        self.error: BaseException | None = None

    def __enter__(self) -> Producer:
        self._thread.start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._enough.set()
        self._thread.join(60)
        if self.error is not None:
            raise self.error

    def more(self, count: int, timeout: float = 60.0) -> None:
        """Return as soon as so many more messages were accepted."""
        wanted = self.accepted + count
        eventually(
            lambda: self.error is not None or self.accepted >= wanted,
            timeout,
            what=lambda: f"{count} more are accepted\n{self._stage.logs()}",
            interval=0.02,
        )

    def _run(self) -> None:
        try:
            while not self._enough.is_set():
                try:
                    self._stage.submit()
                    self.accepted += 1
                except BackendUnavailableError:
                    self.refused += 1
                time.sleep(_PAUSE_S)
        except BaseException as error:  # it belongs to the test
            self.error = error
