"""Real schedulers under a storm, and a reader who takes every message they fire and keeps account outside of Redis."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from alsek.core.broker import Broker
from alsek.core.ids import made_at, new_uuid
from alsek.core.schedules import FirePolicy, Leader, ScheduleStore
from alsek.core.triggers import IntervalTrigger
from alsek.exceptions import AlsekError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.verbs import Interest, Verbs
from harness.eventually import eventually
from harness.processes import Process, alsek
from harness.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.processes import Processes
    from harness.server import Server

QUEUE = "fired"

#: An instant every so often; `all` makes up for 100 of them, so nobody may lead for 25 s before one is missed.
EVERY_MS = 250

#: How long a message is away that the reader was given and did not hear of.
LEASE_MS = 1_000

#: What may take a while on a busy machine, seconds.
PATIENCE_S = 60.0


@dataclass(slots=True)
class Account:
    """What the reader has taken.

    Attributes:
        taken: How often each message was.
        instants: The instants of each schedule, as its messages were taken.
        early: How many messages were there before their time, by Redis' clock.
        lags_ms: How long after its instant each was taken.
    """

    taken: Counter[str] = field(default_factory=Counter)
    instants: dict[str, list[int]] = field(default_factory=dict)
    early: int = 0
    lags_ms: list[int] = field(default_factory=list)


class Reader:
    """Claims and ends every message at once, with a receipt of 1 ms: no memory of Redis could hide a second one.

    So a claim whose answer is lost is not repeated, either: what it took comes back when its lease has lapsed.
    """

    def __init__(self, url: str, partitions: int) -> None:
        self._broker = Broker(RedisBackend(url, partitions=partitions), receipt_ms=1, lease_ms=LEASE_MS)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self.account = Account()

    def start(self) -> Reader:
        self._thread.start()
        return self

    def stop(self) -> Account:
        """Take what is left, and end; nothing may be fired any more."""
        self._stopping.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._broker.backend.close()
        return self.account

    def _run(self) -> None:
        while True:
            last = self._stopping.is_set()
            found = 0
            for partition in range(self._broker.keys.partitions):
                with suppress(AlsekError):
                    found += self._take(partition)
            if last and not found and self._is_empty():
                return
            if not found:
                time.sleep(0.005)

    def _is_empty(self) -> bool:
        """Tell whether no message waits, and none is held by a claim that nobody heard of."""
        keys, links = self._broker.keys, self._broker.redis.links
        with suppress(AlsekError):
            return not any(
                links.command("ZCARD", key)
                for partition in range(keys.partitions)
                for key in (keys.ready(QUEUE, partition), keys.delayed(QUEUE, partition), keys.leases(QUEUE, partition))
            )
        return False

    def _take(self, partition: int) -> int:
        verbs, links = self._broker.verbs, self._broker.redis.links
        interests = [Interest(QUEUE)]
        token = f"reader.0-{new_uuid()}"
        call = verbs.claim(partition, interests, token, f"reader.{partition}", 500)
        hand = Verbs.read_claim(links.execute([call], patience=30)[0], interests)
        if not hand.messages:
            return 0
        uuids = [message.uuid for message in hand.messages]
        (codes,) = links.execute([verbs.ack_groups(partition, {(QUEUE, token): uuids})], patience=30)
        for message, code in zip(hand.messages, codes, strict=True):
            if code == Code.STALE:
                continue  # on a crowded machine its end came too late: it comes again, and counts then
            instant = self._broker.message_of(message, token, 0).created_at
            self.account.taken[message.uuid] += 1
            self.account.instants.setdefault(message.task_name, []).append(instant)
            self.account.early += hand.now_ms < instant
            self.account.lags_ms.append(hand.now_ms - instant)
        return len(hand.messages)


class Stage:
    """Schedules, and the programs that fire them.

    Args:
        processes: Starts them.
        server: Their Redis.
        partitions: Of the backend.
        lease_s: Of the lead.
    """

    def __init__(self, processes: Processes, server: Server, partitions: int = 2, lease_s: float = 2.0) -> None:
        self._processes = processes
        self.server = server
        self.lease_s = lease_s
        self.partitions = partitions
        self.broker = Broker(RedisBackend(server.url, partitions=partitions))
        self.store = ScheduleStore(self.broker)
        self.schedulers: list[Process] = []
        self.reader = Reader(server.url, partitions).start()

    def schedule(self, count: int, every_ms: int = EVERY_MS) -> None:
        """Make schedules whose task is their own name."""
        for i in range(count):
            name = f"s{i}"
            trigger = IntervalTrigger(milliseconds=every_ms)
            self.store.create(name, name, trigger, policy=FirePolicy("all"), queue=QUEUE)

    def scheduler(self, url: str | None = None, *, argv: list[str] | None = None, wait: bool = True) -> Process:
        """Start a scheduler, as a program of its own."""
        options = ["--url", url or self.server.url, "--partitions", str(self.partitions)]
        options += ["--leader-lease", str(self.lease_s)]
        started = self._processes.start([*(argv or alsek("scheduler")), *options], name="scheduler")
        self.schedulers.append(started)
        if wait:
            started.wait_for_line("Scheduler online.", PATIENCE_S)
        return started

    def leader(self, other_than: int = 0) -> Leader:
        """Wait until somebody leads with a later epoch than this one."""

        def found() -> Leader | None:
            with suppress(AlsekError):
                leader = self.store.leader()
                return leader if leader is not None and leader.epoch > other_than else None
            return None

        leader = eventually(found, PATIENCE_S, what=lambda: f"a leader beyond {other_than}\n{self.logs()}")
        assert leader is not None
        return leader

    def process_of(self, leader: Leader) -> Process:
        """The program that leads."""
        pid = int(leader.identity.split(".")[-2])
        return next(one for one in self.schedulers if one.pid == pid)

    def progress(self, seconds_of_fires: float = 1.0) -> None:
        """Wait until schedules were fired for a while longer."""
        goal = self.store.get("s0").fired + max(2, round(seconds_of_fires * 1000 / EVERY_MS))
        eventually(lambda: self.store.get("s0").fired >= goal, PATIENCE_S, what=self.logs, interval=0.02)

    def settle(self) -> tuple[Account, Mapping[str, tuple[int, int]]]:
        """Stop all firing; gives the account, and the first and last instant of each schedule."""
        spans: dict[str, tuple[int, int]] = {}
        for one in self.store:
            paused = self.store.pause(one.id)
            assert paused.last_ms is not None
            assert paused.missed == 0, paused
            first = made_at(paused.first_uuid or "")
            assert first is not None
            spans[one.id] = first, paused.last_ms
        account = self.reader.stop()
        return account, spans

    def logs(self) -> str:
        """What all schedulers said."""
        return "\n".join(f"--- {one.pid}\n{one.log}" for one in self.schedulers)

    def close(self) -> None:
        """Close our own connections."""
        self.broker.backend.close()


def assert_exactly_once(account: Account, spans: Mapping[str, tuple[int, int]], every_ms: int = EVERY_MS) -> int:
    """Raise unless each instant of each schedule was fired once, none before its time; gives how many there were."""
    twice = {uuid: count for uuid, count in account.taken.items() if count > 1}
    assert not twice, f"fired again: {twice}"
    for name, (first, last) in spans.items():
        expected = list(range(first, last + 1, every_ms))
        found = sorted(account.instants[name])
        missing, unexpected = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        assert found == expected, f"{name}: missing {missing[:5]}, unexpected {unexpected[:5]}"
    assert account.early == 0
    return len(account.taken)


class Cut:
    """A scheduler behind a proxy, which can be cut off from Redis."""

    def __init__(self, stage: Stage) -> None:
        self.proxy = Proxy(stage.server.port, password=stage.server.password, record=False).start()
        self.process = stage.scheduler(self.proxy.url)

    def close(self) -> None:
        """Close the proxy."""
        self.proxy.stop()
