"""§1: every import path that programs of upstream's may have."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, version

import pytest

import alsek

PATHS = {
    "alsek": ["Broker", "Lock", "Message", "StatusTracker", "task", "__version__"],
    "alsek.core.broker": ["Broker"],
    "alsek.core.message": ["Message", "LinkedLock"],
    "alsek.core.task": ["Task", "TriggerTask", "task"],
    "alsek.core.backoff": [
        "Backoff", "ConstantBackoff", "LinearBackoff", "ExponentialBackoff", "settings2backoff", "BackoffSettingsType",
    ],
    "alsek.core.concurrency": ["Lock", "ProcessLock", "ThreadLock"],
    "alsek.core.consumer": ["Consumer"],
    "alsek.core.status.standard": ["StatusTracker"],
    "alsek.core.status.asyncio": ["AsyncStatusTracker"],
    "alsek.core.status.abstract": ["BaseStatusTracker"],
    "alsek.core.status.types": ["TaskStatus", "StatusUpdate", "TERMINAL_TASK_STATUSES"],
    "alsek.core.status.integrity": ["StatusTrackerIntegrityScanner"],
    "alsek.core.worker.thread": ["ThreadWorkerPool"],
    "alsek.core.worker.process": ["ProcessWorkerPool"],
    "alsek.storage.backends.abstract": ["BaseBackend", "Backend", "AsyncBackend"],
    "alsek.storage.backends.lazy": ["LazyClient"],
    "alsek.storage.backends.redis": ["RedisBackend", "AsyncRedisBackend"],
    "alsek.storage.backends.redis.standard": ["RedisBackend"],
    "alsek.storage.backends.redis.asyncio": ["AsyncRedisBackend"],
    "alsek.storage.result": ["ResultStore"],
    "alsek.storage.serialization": ["Serializer", "JsonSerializer", "BinarySerializer"],
    "alsek.tools": ["ResultPool"],
    "alsek.tools.iteration": ["ResultPool"],
    "alsek.defaults": ["DEFAULT_QUEUE", "DEFAULT_TTL"],
    "alsek.exceptions": ["AlsekError"],
    "alsek.types": ["SUPPORTED_MECHANISMS", "SupportedMechanismType", "Empty"],
    "alsek.cli.cli": ["main"],
    "alsek.utils.logging": ["get_logger", "setup_logging", "LOGGING_FORMAT", "LOGGING_DATEFMT"],
    "alsek.utils.parsing": ["ExceptionDetails", "parse_exception", "get_exception_name"],
    "alsek.utils.scanning": ["collect_tasks"],
    "alsek.utils.system": ["StopSignalListener", "smart_cpu_count", "thread_raise"],
    "alsek.utils.waiting": ["waiter"],
    "alsek.utils.temporal": ["utcnow_timestamp_ms", "from_timestamp_ms", "time_ms"],
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_of_upstreams_can_be_imported_alone(path: str) -> None:
    module = import_module(path)

    assert [name for name in PATHS[path] if not hasattr(module, name)] == []


def test_no_path_needs_another_one_first() -> None:
    code = "import sys; [sys.modules.pop(m) for m in list(sys.modules) if m.startswith('alsek')]; __import__({!r})"
    lines = [code.format(path) for path in PATHS]

    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_same_class_stands_behind_all_its_paths() -> None:
    from alsek.core.concurrency import Lock
    from alsek.core.message import Message
    from alsek.core.task import task
    from alsek.storage.backends.redis import RedisBackend, standard

    assert (alsek.Lock, alsek.Message, alsek.task, RedisBackend) == (Lock, Message, task, standard.RedisBackend)


def test_the_version_is_a_text() -> None:
    assert alsek.__version__ == version("alsek-core")


def test_there_is_a_program_named_alsek() -> None:
    [script] = entry_points(group="console_scripts", name="alsek")

    assert script.value == "alsek.cli.cli:main"
