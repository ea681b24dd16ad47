"""S4: editors change, pause, delete and make schedules anew while they fire; no instant is fired twice."""

from __future__ import annotations

import random
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.triggers import IntervalTrigger
from alsek.exceptions import SchedulingError
from alsek.storage.backends.redis import RedisBackend
from alsek_scheduler.service import Scheduler
from alsek_scheduler.settings import Settings
from faults.ends import assert_sound
from faults.schedule_arena import QUEUE, Reader
from harness.seeds import chaos_size

if TYPE_CHECKING:
    from harness.server import Server

NAMES = [f"s{i}" for i in range(6)]
EDITORS = 4


class Editor:
    """Does one thing after the other to one schedule after the other."""

    def __init__(self, url: str, seed: str, edits: int) -> None:
        self.broker = Broker(RedisBackend(url, partitions=2))
        self.store = ScheduleStore(self.broker)
        self.dice = random.Random(seed)
        self.edits = edits
        self.done: Counter[str] = Counter()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for _ in range(self.edits):
                verb = self.dice.choice(
                    ["update", "update", "trigger", "pause", "resume", "delete", "create", "create"]
                )
                with suppress(SchedulingError):
                    self._edit(verb, self.dice.choice(NAMES))
                    self.done[verb] += 1
        except BaseException as error:
            self.error = error

    def _edit(self, verb: str, name: str) -> None:
        every = IntervalTrigger(milliseconds=self.dice.choice([20, 30, 50]))
        match verb:
            case "update":
                read = self.store.get(name)
                self.store.update(name, read.version, args=(self.dice.random(),))
            case "trigger":
                read = self.store.get(name)
                self.store.update(name, read.version, trigger=every)
            case "pause":
                self.store.pause(name)
            case "resume":
                self.store.resume(name)
            case "delete":
                self.store.delete(name)
            case "create":
                self.store.create(name, name, every, policy=FirePolicy("all"), queue=QUEUE)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_editors_at_work_never_make_an_instant_fire_twice(server: Server, seed: int) -> None:
    edits = chaos_size(150, 2_500)
    reader = Reader(server.url, 2).start()
    editors = [Editor(server.url, f"{seed}{i}", edits) for i in range(EDITORS)]
    schedulers = [
        Scheduler(Broker(RedisBackend(server.url, partitions=2)), settings=Settings(lease_ms=1_000)) for _ in range(2)
    ]
    for scheduler in schedulers:
        scheduler.start()
    for editor in editors:
        editor.thread.start()
    for editor in editors:
        editor.thread.join(600)
        assert not editor.thread.is_alive()
        assert editor.error is None, editor.error
    store = editors[0].store
    for one in list(store):
        store.delete(one.id)
    for scheduler in schedulers:
        scheduler.stop()
        scheduler.store.broker.backend.close()

    account = reader.stop()

    twice = {uuid: count for uuid, count in account.taken.items() if count > 1}
    assert not twice
    for name, instants in account.instants.items():
        assert len(set(instants)) == len(instants), name
    assert account.early == 0
    assert account.taken
    assert_sound(store.broker)
    done = sum((editor.done for editor in editors), Counter())
    print(f"S4 {sum(done.values())} edits {dict(done)}: {len(account.taken):,} fires, no instant twice", flush=True)
    for editor in editors:
        editor.broker.backend.close()
