"""§2: defaults, environment, exceptions, types."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING

import pytest

from alsek import defaults, exceptions, types

if TYPE_CHECKING:
    from types import ModuleType

    from alsek.storage.backends.redis import RedisBackend

EXCEPTIONS = [
    "MessageAlreadyExistsError",
    "MessageDoesNotExistsError",
    "MultipleBrokersError",
    "NoTasksFoundError",
    "ValidationError",
    "SchedulingError",
    "TaskNameCollisionError",
    "TerminationError",
    "RevokedError",
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULT_QUEUE", "alsek_queue"),
        ("DEFAULT_NAMESPACE", "alsek"),
        ("DEFAULT_MAX_RETRIES", 3),
        ("DEFAULT_TASK_TIMEOUT", 3_600_000),
        ("DEFAULT_MECHANISM", "thread"),
        ("DEFAULT_TTL", 604_800_000),
        ("ALSEK_WORKER_POOL_ENV_VAR", "ALSEK_WORKER_POOL"),
    ],
)
def test_a_default_is_upstreams(name: str, value: object) -> None:
    assert getattr(defaults, name) == value


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_of_upstreams_is_made_without_arguments_and_pickled(name: str) -> None:
    error = getattr(exceptions, name)()

    assert exceptions.AlsekError in type(error).__bases__
    assert type(pickle.loads(pickle.dumps(error))) is type(error)


def test_the_root_of_the_exceptions_is_an_exception() -> None:
    assert issubclass(exceptions.AlsekError, Exception)


def test_the_mechanisms_of_upstream_are_supported() -> None:
    assert {"process", "thread"} <= set(types.SUPPORTED_MECHANISMS)


@pytest.mark.parametrize("empty", [types.Empty, types.Empty()], ids=["class", "instance"])
def test_empty_as_default_asks_for_a_key_error(empty: object, backend: RedisBackend) -> None:
    with pytest.raises(KeyError):
        backend.get("nothing", default=empty)


@pytest.mark.parametrize("name", ["environment_of_thread", "environment_of_process"])
def test_a_task_sees_that_it_runs_in_a_worker_pool(name: str, worked: ModuleType) -> None:
    message = getattr(worked, name).generate()

    assert worked.result_store.get(message, timeout=60_000) == "true"


def test_whoever_generates_sees_that_it_does_not_run_in_a_worker_pool() -> None:
    assert defaults.ALSEK_WORKER_POOL_ENV_VAR not in os.environ
