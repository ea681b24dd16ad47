"""Calls what users wrote around their tasks: what fails there is logged with its name, and never breaks delivery."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from alsek.exceptions import Reject

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.core.message import Message
    from alsek.core.settlement import Settlement
    from alsek.core.task import Task
    from alsek.storage.backends.redis.scripts import Code

#: The name that upstream's log lines carry.
log = logging.getLogger("alsek.core.futures")


def call_hook(hook: Callable[..., Any], *args: Any) -> None:
    """Call a hook."""
    try:
        hook(*args)
    except BaseException as error:
        name = getattr(hook, "__name__", repr(hook))
        log.critical("Error encountered with `%s()`.", name, exc_info=error)


def is_tried_again(task: Task, message: Message, error: BaseException) -> bool:
    """Ask a task whether a failed message is tried again; what it rejected itself is not."""
    if isinstance(error, Reject):
        return False
    try:
        return task.do_retry(message, error)
    except BaseException as broken:
        log.critical("Error encountered with `do_retry()`: the message is not tried again.", exc_info=broken)
        return False


def warn_refused(settlement: Settlement, code: Code) -> None:
    """Say that a settlement came too late."""
    verb = type(settlement).__name__.lower()
    log.warning("%s: too late for %s (%s); nothing was changed.", settlement.message.summary, verb, code.name.lower())
