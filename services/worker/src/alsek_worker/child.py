"""The first thing that runs in a child process, and the last.

A child imports the task package once, by name, and then only runs its pool. This module is
preloaded into the fork server, so a replacement starts in milliseconds; it must not import
a task package, start a thread or open a connection before it runs in the child.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from typing import TYPE_CHECKING, Any, Protocol

from alsek.defaults import ALSEK_WORKER_POOL_ENV_VAR
from alsek.exceptions import AlsekError
from alsek.logging import get_logger, setup_logging
from alsek_worker.control import Control
from alsek_worker.workload import Source, load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from alsek.core.broker import Broker
    from alsek.core.task import Task
    from alsek.types import SupportedMechanismType
    from alsek_worker.ledger import Ledger
    from alsek_worker.settings import Settings

log = get_logger(__name__)

#: What the supervisor decides, and an init that signals whole process groups must not decide for it.
DISREGARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

#: The pool of each kind, by name: a child imports only its own.
POOLS: dict[SupportedMechanismType, str] = {
    "thread": "alsek_worker.pools.thread:ThreadGroup",
    "process": "alsek_worker.pools.process:ProcessSlot",
    "async": "alsek_worker.pools.asyncio:AsyncLoop",
}

_PR_SET_PDEATHSIG = 1


class Pool(Protocol):
    """What runs in a child."""

    def __init__(
        self, tasks: Mapping[str, Task], broker: Broker, ledger: Ledger, control: Control, settings: Settings
    ) -> None:
        """Take what it works with; claim nothing yet."""

    def run(self) -> None:
        """Claim and run messages until an order or a limit ends it; nothing is held afterwards."""


@dataclass(frozen=True, slots=True)
class Post:
    """What a child is hired for.

    Attributes:
        pool: `module:Class` of the pool; the kind's own when empty.
        source: Where its tasks come from.
        settings: The pool's choices, with this child's facts.
        environment: The supervisor's environment variables of today; the fork server has those of its own start.
    """

    pool: str
    source: Source
    settings: Settings
    environment: Mapping[str, str] = field(repr=False)


def main(post: Post, ledger: Ledger, line: Connection) -> None:
    """Be a child until its pool ends.

    Args:
        post: What to do.
        ledger: Where its leases are written down.
        line: Its end of the pipe to the supervisor.
    """
    _die_with_the_supervisor()
    control = Control(line)
    control.watch()
    code = 1
    try:
        setup_logging(post.settings.log_level, post.settings.log_format, root=True)
        _take_environment(post.environment)
        pool = _build(post, ledger, control)
        control.tell("ready")
        pool.run()
        code = 0
    except AlsekError as error:  # a mistake that one line explains
        control.tell("failed", str(error))
    except BaseException as error:
        log.exception("child.failed")
        control.tell("failed", f"{type(error).__name__}: {error}")
    finally:
        # Not an ordinary exit: a thread that cannot be interrupted would be waited for.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _build(post: Post, ledger: Ledger, control: Control) -> Pool:
    workload = load(post.source)
    workload.broker.lease_ms = post.settings.lease_ms
    module, _, name = (post.pool or POOLS[post.settings.kind]).partition(":")
    pool: type[Pool] = getattr(importlib.import_module(module), name)
    return pool(workload.tasks, workload.broker, ledger, control, post.settings)


def _die_with_the_supervisor() -> None:
    """Have the kernel end us with the fork server, and the fork server with the supervisor.

    The control line says it too, but only to a process that can run Python code.
    """
    # Python's own handlers, not SIG_IGN: what a task starts with exec must be killable again.
    for number in DISREGARDED:
        signal.signal(number, _disregard)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, DISREGARDED)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() == 1:
            os._exit(1)
    # Each child keeps the fork server alive with a pipe end, even when the supervisor is gone: let go of ours.
    server: Any = forkserver._forkserver  # noqa: SLF001  (there is no public way)
    alive = getattr(server, "_forkserver_alive_fd", None)
    if alive is not None:
        os.close(alive)
        server._forkserver_alive_fd = None  # noqa: SLF001


def _disregard(_number: int, _frame: object) -> None:
    """The supervisor decides."""


def _take_environment(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    if ALSEK_WORKER_POOL_ENV_VAR in os.environ:
        log.warning("Worker thread env var already set.")
    else:
        os.environ[ALSEK_WORKER_POOL_ENV_VAR] = "true"
