"""The tree of errors: upstream's names, usable without arguments, fit to cross a process boundary."""

from __future__ import annotations

import inspect
import pickle

import pytest

from alsek import exceptions
from alsek.exceptions import (
    AlsekError,
    BackendUnavailableError,
    Reject,
    RevokedError,
    SerializationError,
    Snooze,
    ValidationError,
)

#: Not ours to raise: tasks do, and say why.
SIGNALS = (Reject, Snooze)
ALL_CLASSES = [cls for _, cls in inspect.getmembers(exceptions, inspect.isclass) if issubclass(cls, AlsekError)]
CLASSES = [cls for cls in ALL_CLASSES if cls not in SIGNALS]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_explains_itself_without_arguments(cls: type[AlsekError]) -> None:
    error = cls()

    assert str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize("cls", ALL_CLASSES)
def test_every_error_stands_in_the_drawn_tree(cls: type[AlsekError]) -> None:
    assert cls.__name__ in (exceptions.__doc__ or "")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_pickling(cls: type[AlsekError]) -> None:
    error = cls("text")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is cls
    assert copy.args == ("text",)
    assert copy.__dict__ == error.__dict__


@pytest.mark.parametrize(
    "name",
    [
        "MessageAlreadyExistsError",
        "MessageDoesNotExistsError",
        "MultipleBrokersError",
        "NoTasksFoundError",
        "ValidationError",
        "SchedulingError",
        "TaskNameCollisionError",
        "TerminationError",
        "RevokedError",
    ],
)
def test_upstreams_errors_stand_directly_below_the_root(name: str) -> None:
    assert AlsekError in getattr(exceptions, name).__bases__


@pytest.mark.parametrize("signal", [Snooze(2.5), Reject("no such customer")])
def test_what_a_task_raises_survives_pickling(signal: AlsekError) -> None:
    copy = pickle.loads(pickle.dumps(signal))

    assert type(copy) is type(signal)
    assert (str(copy), copy.args, copy.__dict__) == (str(signal), signal.args, signal.__dict__)


def test_facts_survive_pickling() -> None:
    error = BackendUnavailableError("gone", ambiguous=True)

    assert pickle.loads(pickle.dumps(error)).ambiguous is True


def test_what_programs_catch_upstream_is_still_caught() -> None:
    assert issubclass(ValidationError, ValueError)
    assert issubclass(SerializationError, TypeError)


def test_a_revoked_error_reads_as_upstreams() -> None:
    assert str(RevokedError()) == "Task Revoked"
