"""§14: the utilities that programs of upstream's import."""

from __future__ import annotations

import datetime
import os
import signal
import threading
import time

import pytest

from alsek.utils.parsing import ExceptionDetails, get_exception_name, parse_exception
from alsek.utils.system import StopSignalListener, smart_cpu_count, thread_raise
from alsek.utils.temporal import from_timestamp_ms, time_ms, utcnow_timestamp_ms
from alsek.utils.waiting import waiter


class Mine(Exception):
    """An exception with a dotted name."""


def test_exceptions_are_told_by_their_dotted_names() -> None:
    assert get_exception_name(ValueError()) == "ValueError"
    assert get_exception_name(Mine()) == f"{Mine.__module__}.Mine"


def test_an_exception_becomes_three_texts() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        details = parse_exception(error)

    name, text, traceback = details
    assert (name, text) == ("ValueError", "no")
    assert 'raise ValueError("no")' in traceback
    assert details.as_dict() == {"name": name, "text": text, "traceback": traceback}


def test_three_texts_become_an_exception() -> None:
    error = ExceptionDetails("ValueError", "no").as_exception()

    assert (type(error), str(error)) == (ValueError, "no")


def test_a_class_that_is_not_there_is_an_error_unless_that_is_ok() -> None:
    details = ExceptionDetails("nowhere.NoError", "no")

    with pytest.raises(ImportError):
        details.as_exception(strict=True)
    error = details.as_exception(strict=False)
    assert (type(error), str(error)) == (Exception, "nowhere.NoError: no")


def test_timestamps_are_utc_milliseconds() -> None:
    now = utcnow_timestamp_ms()

    assert abs(now - time.time() * 1000) < 1_000
    assert abs(time_ms() - now) < 1_000
    assert from_timestamp_ms(0).replace(tzinfo=None) == datetime.datetime(1970, 1, 1)  # noqa: DTZ001 - without zone


def test_the_waiter_waits_for_a_condition() -> None:
    asked: list[int] = []

    assert waiter(lambda: bool(asked.append(1)) or len(asked) == 3, sleep_interval=1, timeout=5_000)
    assert len(asked) == 3


def test_the_waiter_gives_up_with_the_given_text() -> None:
    with pytest.raises(TimeoutError, match="too late"):
        waiter(lambda: False, sleep_interval=1, timeout=10, timeout_msg="too late")


def test_a_processor_is_left_over() -> None:
    assert 1 <= smart_cpu_count() <= (os.cpu_count() or 1)


def test_an_exception_is_raised_in_another_thread() -> None:
    caught: list[str] = []
    ready = threading.Event()

    def work() -> None:
        try:
            ready.set()
            while True:
                time.sleep(0.001)
        except Mine:
            caught.append("mine")

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    assert thread.ident is not None
    thread_raise(thread.ident, Mine)
    thread.join(10)

    assert caught == ["mine"]


def test_a_stop_signal_is_remembered() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    try:
        listener = StopSignalListener(stop_signals=(signal.SIGUSR1,), exit_override=True)
        assert not listener.received
        listener.wait(1)

        os.kill(os.getpid(), signal.SIGUSR1)

        listener.wait(10_000)
        assert listener.received
        assert listener.exit_event.wait(10)
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_exit_event_is_as_good_as_a_signal() -> None:
    listener = StopSignalListener(stop_signals=())
    listener.exit_event.set()

    assert listener.received
