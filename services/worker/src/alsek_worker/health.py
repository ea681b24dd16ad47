"""What the probes of a pool answer, from what its threads noted: no check asks Redis or a child.

A pool is alive while its supervisor turns, its heartbeat tries, and its children tick; whether Redis answers is a
matter of readiness alone, for restarting workers does not mend Redis.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from alsek.logging import get_logger
from alsek.tools.exposition import Exposition
from alsek.tools.probes import Address, Probes, ProbeServer
from alsek_worker.ledger import now_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alsek_worker.children import Child
    from alsek_worker.supervisor import Supervisor

log = get_logger(__name__)

#: The supervisor looks around every second and never waits for Redis or user code.
LOOP_MS: Final = 8_000

#: The heartbeat ticks every second, and waits for Redis 10 s at most: to connect, and for the answer.
BEAT_MS: Final = 15_000


@contextmanager
def observed(supervisor: Supervisor, port: str, stall_ms: int) -> Iterator[None]:
    """Serve probes and metrics of a pool while the block runs.

    Args:
        supervisor: Of the pool.
        port: PORT or HOST:PORT.
        stall_ms: See `Health`.

    Raises:
        AddressUnavailableError: Somebody listens there.
        ValidationError: That is no port.
    """
    health = Health(supervisor, stall_ms)
    with ProbeServer(Address.parse(port), health.probes, Exposition("worker", supervisor.metrics)) as server:
        log.info("probes.listening", url=server.url)
        yield


class Health:
    """Judges one pool.

    Args:
        supervisor: Of the pool.
        stall_ms: A child that does not tick for so long has stalled.
    """

    def __init__(self, supervisor: Supervisor, stall_ms: int) -> None:
        self._supervisor = supervisor
        self._stall_ms = stall_ms
        self._since_ms = now_ms()

    @property
    def probes(self) -> Probes:
        """The checks, by name."""
        return Probes(
            live={"supervisor": self._loop, "heartbeat": self._heartbeat, "children": self._children_tick},
            ready={"redis": self._redis, "children": self._children_ready},
            started={"online": self._online},
        )

    def _loop(self) -> tuple[bool, str]:
        return _recent("the supervisor's loop turned", self._supervisor.turned_ms or self._since_ms, LOOP_MS)

    def _heartbeat(self) -> tuple[bool, str]:
        return _recent("the heartbeat ticked", self._supervisor.heartbeat.ticked_ms or self._since_ms, BEAT_MS)

    def _children_tick(self) -> tuple[bool, str]:
        stalled = [child for child in self._supervisor.children() if self._stalled(child)]
        if stalled:
            pids = ", ".join(str(child.pid) for child in stalled)
            return False, f"no sign of life for {self._stall_ms / 1000:g} s from the children {pids}"
        return True, "all children tick"

    def _stalled(self, child: Child) -> bool:
        if not child.ready or child.killed_because:
            return False
        now = now_ms()
        if now - max(child.ledger.tick_ms, child.born_ms) <= self._stall_ms:
            return False
        # A process slot may compute without a pause: its deadline is kept by the supervisor's signals.
        within = any(entry.running and now < entry.deadline_ms for entry in child.ledger.entries())
        return not (child.crew.kind == "process" and within)

    def _redis(self) -> tuple[bool, str]:
        heartbeat = self._supervisor.heartbeat
        if not heartbeat.answered_ms:
            return False, "Redis has not answered yet"
        return heartbeat.answers, _ago("Redis answered", heartbeat.answered_ms)[1]

    def _children_ready(self) -> tuple[bool, str]:
        return self._supervisor.readiness()

    def _online(self) -> tuple[bool, str]:
        online = self._supervisor.is_online
        return online, "the pool came online" if online else "the children are still starting"


def _recent(what: str, at_ms: int, limit_ms: int) -> tuple[bool, str]:
    ago, text = _ago(what, at_ms)
    return ago <= limit_ms, text


def _ago(what: str, at_ms: int) -> tuple[int, str]:
    ago = max(0, now_ms() - at_ms)
    return ago, f"{what} {ago / 1000:.1f} s ago"
