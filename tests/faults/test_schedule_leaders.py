"""S1: leaders die, freeze, are cut off or told to go; every fire happens exactly once, and none is missing."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.verbs import Interest
from faults.schedule_arena import LEASE_MS, QUEUE, Cut, Reader, Stage, assert_exactly_once
from harness.eventually import eventually
from harness.seeds import chaos_size, variation
from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.processes import Process, Processes

PROGRAMS = Path(__file__).with_name("programs")
SCHEDULES = 12


@pytest.fixture
def stage(processes: Processes) -> Iterator[Stage]:
    # What was answered is on disk: a server that is killed forgets nothing that anybody has seen.
    with Server(appendfsync="always") as server:
        stage = Stage(processes, server)
        yield stage
        stage.close()


def show(what: str, fires: int, gaps: dict[str, list[float]], lags_ms: list[int]) -> None:
    told = " ".join(f"{name}={len(one)}x<={max(one):.2f}s" for name, one in sorted(gaps.items()) if one)
    p99 = quantiles(lags_ms, n=100)[98] if len(lags_ms) > 1 else 0
    print(f"{what}: {fires:,} fires, each exactly once, none missing; gaps {told}; lag p99 {p99:.0f} ms", flush=True)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_whoever_dies_each_fire_happens_exactly_once(stage: Stage, seed: int) -> None:
    dice = random.Random(seed)
    stage.schedule(SCHEDULES)
    cut = Cut(stage)
    for other in [stage.scheduler(wait=False) for _ in range(2)]:
        other.wait_for_line("Scheduler online.", 60)
    stage.progress()
    faults = ["kill", "stop", "term", "cut", "redis"]
    faults = [fault for _ in range(chaos_size(1, 60)) for fault in dice.sample(faults, len(faults))]
    gaps: dict[str, list[float]] = {fault: [] for fault in faults}

    for fault in faults:
        if fault == "cut" and stage.process_of(stage.leader()) is not cut.process:
            _make_lead(stage, cut.process)
        leader = stage.leader()
        process = stage.process_of(leader)
        began = time.monotonic()
        match fault:
            case "kill":
                process.kill()
                stage.leader(other_than=leader.epoch)
                gaps[fault].append(time.monotonic() - began)
                _replace(stage, process, cut)
            case "stop":
                process.pause()
                stage.leader(other_than=leader.epoch)
                gaps[fault].append(time.monotonic() - began)
                process.resume()  # a leader from the past, in the middle of whatever it was about to do
            case "term":
                process.signal(signal.SIGTERM)
                stage.leader(other_than=leader.epoch)
                gaps[fault].append(time.monotonic() - began)
                assert process.wait(60) == 0
                _replace(stage, process, cut)
            case "cut":
                cut.proxy.blackhole()
                stage.leader(other_than=leader.epoch)
                gaps[fault].append(time.monotonic() - began)
                cut.proxy.heal()
            case "redis":
                stage.server.kill()
                stage.server.start()
                stage.leader()
        stage.progress(0.5)

    account, spans = stage.settle()
    cut.close()
    fires = assert_exactly_once(account, spans)
    show(f"S1 {len(faults)} faults, lease {stage.lease_s:g} s", fires, gaps, account.lags_ms)


def test_the_reader_waits_for_what_a_lost_answer_took(server: Server) -> None:
    broker = Broker(RedisBackend(server.url), lease_ms=LEASE_MS)
    broker.submit(Message(task_name="s0", queue=QUEUE))
    taken = broker.verbs.claim(0, [Interest(QUEUE)], "reader.0-lost", "reader.0", 500)
    broker.redis.links.execute([taken])

    account = Reader(server.url, 1).start().stop()

    assert list(account.instants) == ["s0"]
    broker.backend.close()


def _make_lead(stage: Stage, wanted: Process) -> None:
    """Freeze the others until this one leads."""
    others = [one for one in stage.schedulers if one is not wanted and one.alive]
    for one in others:
        one.pause()
    eventually(lambda: stage.process_of(stage.leader()) is wanted, 60, what=stage.logs, interval=0.02)
    for one in others:
        one.resume()


def _replace(stage: Stage, gone: Process, cut: Cut) -> None:
    """Start a scheduler in the place of one that has ended."""
    stage.schedulers.remove(gone)
    replacement = stage.scheduler(cut.proxy.url if gone is cut.process else None, wait=False)
    if gone is cut.process:
        cut.process = replacement


@pytest.mark.chaos
@pytest.mark.parametrize("shift_s", [120, variation(-120)])
def test_the_clock_of_a_scheduler_does_not_matter(stage: Stage, shift_s: int) -> None:
    stage.schedule(SCHEDULES)
    program = [sys.executable, str(PROGRAMS / "shifted_scheduler.py"), str(shift_s)]

    shifted = stage.scheduler(argv=program)
    stage.progress(3)
    stage.scheduler()  # one with the right time takes over from it, and gives it back
    shifted.signal(signal.SIGTERM)
    stage.leader(other_than=1)
    stage.progress()
    right = stage.schedulers[-1]
    stage.scheduler(argv=program)
    right.signal(signal.SIGTERM)
    stage.leader(other_than=2)
    stage.progress()

    account, spans = stage.settle()
    fires = assert_exactly_once(account, spans)
    late = max(account.lags_ms)
    print(f"T1 clock {shift_s:+} s: {fires:,} fires, each exactly once, none early, at most {late} ms late", flush=True)
    assert late < abs(shift_s) * 1000
