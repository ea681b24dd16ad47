"""Logging: upstream's lines, events with facts, and the running message on what user code says."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any

import pytest
from structlog.stdlib import ProcessorFormatter

import alsek.utils.logging as door
from alsek.core.message import Message
from alsek.logging import (
    MessageFields,
    add_message_fields,
    current_message,
    get_logger,
    json_formatter,
    setup_logging,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stderr:
    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def getvalue(self) -> str:
        return self._capture.readouterr().err


@pytest.fixture
def stderr(capsys: pytest.CaptureFixture[str]) -> Iterator[Stderr]:
    """What is logged, with all loggers as before afterwards."""
    ours, root = logging.getLogger("alsek"), logging.getLogger()
    before = [(one, one.handlers[:], one.level, one.propagate) for one in (ours, root)]
    yield Stderr(capsys)
    for one, handlers, level, propagate in before:
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


@pytest.fixture
def running() -> Iterator[Message]:
    message = Message("add", queue="math_ops", uuid="u-1", retries=2)
    token = current_message.set(message)
    yield message
    current_message.reset(token)


def lines(stream: Stderr) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_upstreams(stderr: Stderr) -> None:
    setup_logging(logging.INFO)

    logging.getLogger("alsek.core.broker").info("Removed %s.", "S")

    assert re.fullmatch(
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] \[MainProcess\] \[MainThread\] \[INFO\] "
        r"alsek\.core\.broker: Removed S\.\n",
        stderr.getvalue(),
    )


def test_setting_up_again_leaves_exactly_one_handler(stderr: Stderr) -> None:
    for _ in range(3):
        door.setup_logging(logging.DEBUG)

    logger = door.get_logger()
    assert logger.name == "alsek"
    assert len(logger.handlers) == 1
    assert isinstance(logger.handlers[0], logging.StreamHandler)
    assert logger.level == logging.DEBUG
    assert logger.propagate is False


@pytest.mark.parametrize("level", ["warning", "WARNING", logging.WARNING])
def test_a_level_is_a_number_or_a_name_in_any_case(stderr: Stderr, level: int | str) -> None:
    setup_logging(level)

    assert logging.getLogger("alsek").level == logging.WARNING


def test_an_event_shows_its_facts(stderr: Stderr) -> None:
    setup_logging("info")

    get_logger("alsek.x").info("lease.lost", uuid="u", name="shadows a record's attribute")

    assert stderr.getvalue().endswith("alsek.x: lease.lost uuid=u name_=shadows a record's attribute\n")


def test_an_event_below_the_level_costs_no_record(caplog: pytest.LogCaptureFixture) -> None:
    log = get_logger("test_logging.quiet")

    with caplog.at_level(logging.INFO, "test_logging.quiet"):
        log.debug("not.seen")
        log.info("was.seen", n=1)

    assert [record.message for record in caplog.records] == ["was.seen"]
    assert caplog.records[0].n == 1
    assert not log.enabled(logging.NOTSET)


def test_a_record_names_the_line_that_logged(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("test_logging").warning("was.seen")

    assert caplog.records[0].funcName == "test_a_record_names_the_line_that_logged"


def test_an_exception_brings_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        get_logger("test_logging").exception("went.wrong", n=1)

    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


@pytest.mark.usefixtures("running")
def test_what_user_code_logs_shows_the_running_message(stderr: Stderr) -> None:
    setup_logging("info", root=True)

    logging.getLogger("my_tasks").info("adding")
    logging.getLogger("alsek.core.broker").info("Removed S.")

    theirs, ours = stderr.getvalue().splitlines()
    assert theirs.endswith("my_tasks: adding message_uuid=u-1 task=add queue=math_ops attempt=3")
    assert ours.endswith("alsek.core.broker: Removed S.")


@pytest.mark.usefixtures("running")
def test_user_fields_win_over_the_bound_ones() -> None:
    record = logging.makeLogRecord({"queue": "mine"})

    assert MessageFields().filter(record)

    assert record.__dict__["queue"] == "mine"
    assert record.__dict__["attempt"] == 3
    assert add_message_fields(None, "info", {"task": "mine"}) == {
        "message_uuid": "u-1",
        "task": "mine",
        "queue": "math_ops",
        "attempt": 3,
    }


def test_outside_of_a_message_nothing_is_added() -> None:
    record = logging.makeLogRecord({})

    MessageFields().filter(record)

    assert "message_uuid" not in record.__dict__
    assert add_message_fields(None, "info", {}) == {}


@pytest.mark.usefixtures("running")
def test_json_is_one_object_per_line(stderr: Stderr) -> None:
    setup_logging("info", "json", root=True)

    get_logger("alsek.x").info("lease.lost", uuid="u", n=1)
    logging.getLogger("my_tasks").warning("grüße\n%s", "x")
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        logging.getLogger("my_tasks").exception("boom")

    event, user, error = lines(stderr)
    assert event["message"] == "lease.lost"
    assert (event["uuid"], event["n"], event["level"], event["logger"]) == ("u", 1, "info", "alsek.x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event["timestamp"])
    assert user["message"] == "grüße\nx"
    assert (user["message_uuid"], user["task"], user["queue"], user["attempt"]) == ("u-1", "add", "math_ops", 3)
    assert "ZeroDivisionError: no" in error["exception"]


def test_json_takes_values_that_are_no_json(stderr: Stderr) -> None:
    setup_logging("info", "json")

    get_logger("alsek.x").info("odd.fact", value={1, 2}, error=ValueError("x"))

    [event] = lines(stderr)
    assert event["message"] == "odd.fact"


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"task": "add", "ms": 1.5, "n": 3, "ok": True, "key": None, "text": 'quo"te\\ é\n\x00'},
        {"level": "mine", "logger": "mine", "timestamp": "mine"},
        {"n": 2**200},
        {"some": ["a", {"b": 1}], "raw": b"x"},
    ],
)
def test_the_quick_way_to_write_a_line_says_what_structlog_does(facts: dict[str, Any]) -> None:
    formatter = json_formatter()
    record = logging.getLogger("alsek").makeRecord(
        "alsek.x", logging.WARNING, "file.py", 1, "%s is here", ("é",), None, extra=facts
    )

    quick = json.loads(formatter.format(record))
    theirs = json.loads(ProcessorFormatter.format(formatter, record))  # type: ignore[arg-type]  # it is one

    assert list(quick) == list(theirs)
    assert {**quick, "timestamp": 0} == {**theirs, "timestamp": 0}
    assert len(quick["timestamp"]) == len(theirs["timestamp"])
