"""What becomes of running tasks when their worker is killed?"""

import os
import signal
import time

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings
from harness.session import MeasurementError, Session
from harness.tallies import ENDS, STARTS, Tally

TASKS = 40
SLOTS = 20
NAP_S = 3.0
#: As many tasks as children: the one that is run again waits for nobody.
CHILDREN = 2


def measure_default(contender: Contender, settings: Settings) -> Measurement:
    """SIGKILL all processes of a worker, with the settings a newcomer gets."""
    return _kill_worker(contender, settings, safe=False)


def measure_recommended(contender: Contender, settings: Settings) -> Measurement:
    """The same with the settings its documentation recommends against crashes."""
    return _kill_worker(contender, settings, safe=True)


def measure_child(contender: Contender, settings: Settings) -> Measurement:
    """SIGKILL one child of a process pool while its task runs; the pool lives on."""
    with Session(contender, concurrency=CHILDREN, safe=True) as session:
        session.ask("enqueue_bulk", CHILDREN, f"nap:{NAP_S}")
        session.work()
        tally = session.tally
        if not tally.wait(lambda: tally.records() >= CHILDREN, settings.stall_s):
            raise MeasurementError(f"the pool did not start:\n{session.complaint()}")
        victim, number = tally.last_start()
        os.kill(victim, signal.SIGKILL)
        killed_ns = time.monotonic_ns()
        tally.wait(lambda: _ended(tally) >= CHILDREN, settings.cap_s, settings.cap_s)
        again = [at for each, at in tally.rows(STARTS) if each == number and at > killed_ns]
        return {
            "n": CHILDREN,
            "again_s": (again[0] - killed_ns) / 1e9 if again else None,
            "completed": _ended(tally),
            "lost": CHILDREN - _ended(tally),
            "repeated": 0,
        }


def _kill_worker(contender: Contender, settings: Settings, *, safe: bool) -> Measurement:
    slots = 1 if contender.limit else SLOTS
    tasks = TASKS if slots > 1 else 4
    with Session(contender, concurrency=slots, safe=safe) as session:
        tally = session.tally
        session.ask("enqueue_bulk", tasks, f"nap:{NAP_S}")
        (worker,) = session.work()
        if not tally.wait(lambda: len(tally.rows()) >= slots, settings.stall_s):
            raise MeasurementError(f"the worker did not start:\n{session.complaint()}")
        worker.kill()
        killed_ns = time.monotonic_ns()
        done = set(tally.rows(ENDS)[:, 0].tolist())
        running = set(tally.rows(STARTS)[:, 0].tolist()) - done
        session.work()
        tally.wait(lambda: _ended(tally) >= tasks, settings.cap_s, settings.cap_s)
        again: dict[int, int] = {}
        for number, at in tally.rows(STARTS):
            if at > killed_ns and int(number) in running:
                again.setdefault(int(number), int(at))
        ends = tally.rows(ENDS)
        completed = _ended(tally)
        return {
            "n": tasks,
            "running": len(running),
            "again": len(again),
            "again_s": (max(again.values()) - killed_ns) / 1e9 if len(again) == len(running) else None,
            "all_s": (ends[-1, 1] - killed_ns) / 1e9 if completed == tasks else None,
            "completed": completed,
            "missing": tasks - completed,
            "twice": len(ends) - completed,
        }


def _ended(tally: Tally) -> int:
    return tally.distinct(ENDS)


_COLUMNS = (
    Column("all_s", "s to all done", 1),
    Column("again_s", "s to last rerun start", 1),
    Column("running", "running at kill"),
    Column("again", "of them run again"),
    Column("completed", "completed"),
    Column("missing", "missing at cap"),
    Column("twice", "completed twice"),
)

DEFAULT = Scenario(
    "crash_default",
    f"{TASKS} tasks of {NAP_S:g} s, worker SIGKILLed with {SLOTS} running, default settings: what comes back?",
    _COLUMNS, measure_default, plot="again_s", more_is_better=False, once=True,
)  # fmt: skip
RECOMMENDED = Scenario(
    "crash_recommended",
    f"{TASKS} tasks of {NAP_S:g} s, worker SIGKILLed with {SLOTS} running, settings for safety: what comes back?",
    _COLUMNS, measure_recommended, plot="again_s", more_is_better=False, once=True,
)  # fmt: skip
CHILD = Scenario(
    "crash_child",
    "A process-pool child is SIGKILLed: how soon does its task run again?",
    (Column("again_s", "s to rerun start", 2), Column("completed", f"completed of {CHILDREN}")),
    measure_child, plot="again_s", more_is_better=False, invited_only=True, once=True,
)  # fmt: skip
