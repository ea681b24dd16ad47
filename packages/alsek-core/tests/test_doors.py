"""The small doors of `alsek.utils`, the words of floor 0, and that importing stays cheap."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from alsek import defaults, types
from alsek.clock import Clock, SystemClock
from alsek.core.status.types import TERMINAL_TASK_STATUSES, StatusUpdate, TaskStatus
from alsek.utils.system import StopSignalListener, smart_cpu_count, thread_raise
from alsek.utils.temporal import from_timestamp_ms, time_ms, utcnow_timestamp_ms
from alsek.utils.waiting import waiter

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_importing_alsek_loads_nothing_heavy_and_configures_no_logging() -> None:
    program = (
        "import sys, logging; before = set(sys.modules); import alsek, alsek.core.message, alsek.core.record, "
        "alsek.storage.serialization, alsek.core.discovery, alsek.utils.logging; "
        "heavy = {'asyncio', 'redis', 'structlog', 'typer', 'dill', 'multiprocessing', 'importlib.metadata'}; "
        "print(sorted(heavy & set(sys.modules) - before), logging.getLogger('alsek').handlers, logging.root.handlers)"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["[]", "[]", "[]"]


def test_the_facade_offers_upstreams_names() -> None:
    import alsek

    assert {"Broker", "Lock", "Message", "StatusTracker", "task", "__version__"} <= set(dir(alsek))
    assert alsek.Message.__module__ == "alsek.core.message"
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = alsek.nope


def test_upstreams_defaults_have_upstreams_values() -> None:
    assert defaults.DEFAULT_QUEUE == "alsek_queue"
    assert defaults.DEFAULT_NAMESPACE == "alsek"
    assert defaults.DEFAULT_MAX_RETRIES == 3
    assert defaults.DEFAULT_TASK_TIMEOUT == 3_600_000
    assert defaults.DEFAULT_MECHANISM == "thread"
    assert defaults.DEFAULT_TTL == 604_800_000
    assert defaults.ALSEK_WORKER_POOL_ENV_VAR == "ALSEK_WORKER_POOL"


def test_upstreams_mechanisms_come_first() -> None:
    assert types.SUPPORTED_MECHANISMS == ("process", "thread", "async")


def test_statuses_have_upstreams_numbers() -> None:
    upstreams = ["UNKNOWN", "SUBMITTED", "RUNNING", "RETRYING", "FAILED", "SUCCEEDED"]

    assert [TaskStatus(number).name for number in range(6)] == upstreams
    assert set(TERMINAL_TASK_STATUSES) == {TaskStatus.FAILED, TaskStatus.SUCCEEDED, TaskStatus.EXPIRED}
    assert StatusUpdate(TaskStatus.RUNNING, {"n": 1}).as_dict() == {"status": "RUNNING", "details": {"n": 1}}


def test_timestamps_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert abs(utcnow_timestamp_ms() / 1000 - time.time()) < 5
        assert from_timestamp_ms(utcnow_timestamp_ms()).timestamp() == pytest.approx(time.time(), abs=5)
        assert from_timestamp_ms(1_500).isoformat() == "1970-01-01T00:00:01.500000+00:00"
        assert abs(time_ms() - utcnow_timestamp_ms()) < 5_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_system_clock_reads_both_clocks() -> None:
    clock: Clock = SystemClock()

    assert abs(clock.now_ms() / 1000 - time.time()) < 5
    assert abs(clock.monotonic() - time.monotonic()) < 5


def test_waiting_ends_when_the_condition_holds() -> None:
    answers = iter([False, False, True])

    assert waiter(lambda: next(answers), sleep_interval=1) is True


def test_waiting_works_in_any_thread_and_gives_up_with_the_given_text() -> None:
    caught: list[str] = []

    def wait() -> None:
        try:
            waiter(lambda: False, sleep_interval=1, timeout=5, timeout_msg="too late")
        except TimeoutError as error:
            caught.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(10)

    assert caught == ["too late"]


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_a_stop_signal_is_remembered_and_wakes_every_waiter() -> None:
    listener = StopSignalListener()
    descriptor = listener.fileno()
    assert not listener.received
    assert select.select([descriptor], [], [], 0)[0] == []

    os.kill(os.getpid(), signal.SIGTERM)

    listener.wait(10_000)
    assert listener.received
    assert listener.exit_event.is_set()
    assert select.select([descriptor], [], [], 10)[0] == [descriptor]


@pytest.mark.usefixtures("handlers")
def test_a_second_stop_signal_ends_the_process_unless_told_otherwise() -> None:
    patient = StopSignalListener(stop_signals=(signal.SIGUSR1,), exit_override=False)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR1)
    assert patient.received

    StopSignalListener(stop_signals=(signal.SIGUSR1,))
    os.kill(os.getpid(), signal.SIGUSR1)
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGUSR1)


def test_a_listener_that_installs_nothing_works_in_any_thread() -> None:
    made: list[StopSignalListener] = []

    thread = threading.Thread(target=lambda: made.append(StopSignalListener(install=False)))
    thread.start()
    thread.join()
    made[0].exit_event.set()

    assert made[0].received
    assert select.select([made[0]], [], [], 0)[0] == made


def test_one_processor_is_left_to_others() -> None:
    assert 1 <= smart_cpu_count() <= max((os.cpu_count() or 1) - 1, 1)


def test_an_exception_is_raised_in_another_thread() -> None:
    started, caught = threading.Event(), []

    def run() -> None:
        try:
            started.set()
            while True:
                time.sleep(0.001)
        except KeyError:
            caught.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    assert thread.ident is not None
    thread_raise(thread.ident, KeyError)
    thread.join(10)

    assert caught == [True]


def test_no_exception_can_be_raised_in_a_thread_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="No thread"):
        thread_raise(2**40 + 1, KeyError)
