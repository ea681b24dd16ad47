"""Decides what becomes of a message that has run, or could not, and has the user's hooks told about it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from alsek.core.backoff import ExponentialBackoff, settings2backoff
from alsek.core.callback import follow_up
from alsek.core.envelope import pack_error
from alsek.core.failure import parse_exception
from alsek.core.settlement import Failed, Released, Retried, Settlement, Succeeded
from alsek.core.status.types import TaskStatus
from alsek.exceptions import (
    BackendUnavailableError,
    LeaseLostError,
    Reject,
    RevokedError,
    Snooze,
    TerminationError,
    UnknownTaskError,
)
from alsek.storage.backends.redis.verbs import NewMessage, StoredResult
from alsek_worker.steps import Step, Steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alsek.core.broker import Broker
    from alsek.core.message import Message
    from alsek.core.task import Task
    from alsek.storage.backends.redis.scripts import Code
    from alsek_worker.attempt import Attempt
    from alsek_worker.recipe import Recipe

#: The names that upstream's log lines carry: programs and eyes are used to them.
log = logging.getLogger("alsek.core.futures")

#: Pause between two attempts to settle alone while Redis is away, seconds.
_PAUSE_S: Final = 0.5


class Ending:
    """Ends attempts; what may wait for a hook or for Redis is given as steps.

    Args:
        recipes: Of the tasks known here, by name.
        broker: Settles what has to be settled alone.
        unknown_task_delay_ms: How long a message of an unknown task is left for a newer worker.
    """

    def __init__(self, recipes: Mapping[str, Recipe], broker: Broker, unknown_task_delay_ms: int) -> None:
        self._recipes = recipes
        self._broker = broker
        self._unknown_task_delay_ms = unknown_task_delay_ms

    def at_once(self, attempt: Attempt, recipe: Recipe, result: Any) -> bool:
        """End a success that leaves nothing but its result, as nearly all do; `False`: it takes steps (`well`)."""
        message = attempt.message
        if (
            not recipe.quiet
            or message.callback_message_data is not None
            or message.linked_lock
            or attempt.interruption is RevokedError
        ):
            return False
        if may_settle(attempt):
            stored = None
            message.exception_details = None
            if recipe.native_result:
                try:
                    stored = StoredResult(*recipe.task.result_store.wire(message, result))  # type: ignore[union-attr]  # native
                except Exception:  # noqa: BLE001  (whatever a serializer raises)
                    return False  # `well` comes to the same, and lets it fail
            if log.isEnabledFor(logging.INFO):
                log.info("Successfully processed %s.", message.summary)
            attempt.settlement = Succeeded(message, stored, None)
        return True

    def well(self, attempt: Attempt, recipe: Recipe, result: Any) -> Steps[None]:
        """End an attempt that returned."""
        if attempt.interruption is RevokedError:
            # It swallowed the interruption, or had returned when that came: nobody wants the result any more.
            yield from self._end_revoked(attempt, recipe, None, result)
        elif may_settle(attempt):
            yield from self._succeed(attempt, recipe, result)

    def badly(self, attempt: Attempt, recipe: Recipe, error: BaseException) -> Steps[None]:
        """End an attempt that raised, or was interrupted."""
        message, interruption = attempt.message, attempt.interruption
        if interruption is RevokedError:
            yield from self._end_revoked(attempt, recipe, RevokedError("Task Revoked"), None)
        elif interruption is LeaseLostError:
            attempt.win()
            log.warning("%s was interrupted: its lease is lost, another worker may have it.", message.summary)
        elif interruption is TerminationError:
            if may_settle(attempt):
                attempt.settlement = Released(message)
        elif may_settle(attempt):
            if interruption is TimeoutError and not isinstance(error, Snooze | Reject):
                error = _timed_out(attempt, error)
            yield from self.fail(attempt, recipe, error)

    def fail(self, attempt: Attempt, recipe: Recipe, error: BaseException) -> Steps[None]:
        """Let an attempt fail: it is tried again, or becomes a dead letter."""
        message, task = attempt.message, recipe.task
        if isinstance(error, Snooze):
            yield from self._snooze(attempt, recipe, error)
            return
        log.error("Error processing %s.", message.summary, exc_info=error)
        message.exception_details = parse_exception(error)
        if recipe.post_op is not None:
            yield from hook(recipe.post_op, message, None)
        again = yield from _is_tried_again(task, message, error)
        settlement: Settlement
        if again:
            yield from hook(task.on_retry, message, error)
            delay = _backoff(message)
            log.info("Retrying %s in %s ms...", message.summary, format(delay, ","))
            details = pack_error(message.exception_details)
            settlement = Retried(message, delay, details, self._body(message, again=True))
        else:
            log.error("Retries exhausted for %s.", message.summary)
            yield from hook(task.on_failure, message, error)
            details = pack_error(message.exception_details)
            reason = "rejected" if isinstance(error, Reject) else "failed"
            settlement = Failed(message, reason, details, self._body(message))
        yield from self._settle(attempt, recipe, settlement, TaskStatus.RETRYING if again else TaskStatus.FAILED)

    def revocation(self, task: Task, message: Message, error: BaseException | None, result: Any = None) -> Steps[None]:
        """Tell the hooks that a message was revoked while it ran."""
        log.info("Evicting '%s' due to task revocation...", message.summary)
        cause = error or RevokedError("Task Revoked")
        message.exception_details = parse_exception(cause)
        yield from hook(task.on_revocation, message, error, result)
        yield from hook(task.on_failure, message, cause)
        yield from hook(message.release_lock, True, self._broker.backend)

    def burial(self, task: Task, message: Message, error: BaseException) -> Steps[None]:
        """Tell the hooks that a message was ended without its task having failed: it kept killing its workers."""
        message.exception_details = parse_exception(error)
        yield from hook(task.on_failure, message, error)
        yield from hook(message.release_lock, True, self._broker.backend)

    def refuse(self, attempt: Attempt) -> None:
        """Leave a message whose task is not known here for a worker that knows it."""
        message = attempt.message
        if attempt.win():
            log.warning("No task %r here: %s is left for a worker that knows it.", message.task_name, message.summary)
            error = UnknownTaskError(f"no worker that took the message knows the task {message.task_name!r}")
            attempt.settlement = Released(
                message,
                counts=True,
                delay_ms=self._unknown_task_delay_ms,
                reason="unknown_task",
                error=pack_error(parse_exception(error)),
            )

    def _succeed(self, attempt: Attempt, recipe: Recipe, result: Any) -> Steps[None]:
        message, task = attempt.message, recipe.task
        try:
            message.exception_details = None
            stored, callback = None, None
            store = task.result_store
            if store is not None:
                if recipe.native_result:
                    stored = StoredResult(*store.wire(message, result))
                else:
                    yield Step(lambda: store.set(message, result, nx=False), blocks=True)
            if message.callback_message_data is not None and (yield Step(lambda: task.do_callback(message, result))):
                callback = yield Step(lambda: self._callback(message, recipe, result), blocks=True)
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001  (a result that cannot be stored, a hook that fails)
            yield from self.fail(attempt, recipe, error)
            return
        if log.isEnabledFor(logging.INFO):
            log.info("Successfully processed %s.", message.summary)
        settlement = Succeeded(message, stored, callback)
        if recipe.alone or message.linked_lock:
            accepted = yield Step(lambda: self._settle_alone(settlement), blocks=True)
            attempt.owned = False
            if accepted:
                attempt.settled_alone = settlement
                yield from self._tell(recipe, message, TaskStatus.SUCCEEDED)
                yield from hook(task.on_success, message, result)
        else:
            attempt.settlement = settlement

    def _callback(self, message: Message, recipe: Recipe, result: Any) -> tuple[str, NewMessage] | None:
        child = follow_up(message, result)
        if child is None:
            return None
        known = self._recipes.get(child.task_name)
        kept = known.kept_status_ms if known is not None else recipe.kept_status_ms
        if known is not None and known.task.status_tracker is not None and known.kept_status_ms is None:
            known.task.update_status(child, TaskStatus.SUBMITTED)
        keys = self._broker.keys
        if keys.partition(child.uuid) == keys.partition(message.uuid):
            return child.queue, self._broker.new_message(child, None, kept)
        # Another partition cannot be written in the same step. Submitted first, and only once: its uuid is fixed.
        self._broker.ensure(child, kept_status_ms=kept)
        return None

    def _end_revoked(self, attempt: Attempt, recipe: Recipe, error: BaseException | None, result: Any) -> Steps[None]:
        attempt.win()
        # Once: a thread may be interrupted while these hooks run already.
        if not attempt.mourned:
            attempt.mourned = True
            yield from self.revocation(recipe.task, attempt.message, error, result)

    def _snooze(self, attempt: Attempt, recipe: Recipe, snooze: Snooze) -> Steps[None]:
        message, delay = attempt.message, int(snooze.seconds * 1000)
        log.info("Snoozing %s for %s ms...", message.summary, format(delay, ","))
        if recipe.post_op is not None:
            yield from hook(recipe.post_op, message, None)
        yield from self._settle(attempt, recipe, Released(message, delay_ms=delay), TaskStatus.SUBMITTED)

    def _settle(self, attempt: Attempt, recipe: Recipe, settlement: Settlement, status: TaskStatus) -> Steps[None]:
        if recipe.alone or attempt.message.linked_lock:
            accepted = yield Step(lambda: self._settle_alone(settlement), blocks=True)
            attempt.owned = False
            if accepted:
                attempt.settled_alone = settlement
                yield from self._tell(recipe, attempt.message, status)
        else:
            attempt.settlement = settlement

    def _settle_alone(self, settlement: Settlement) -> bool:
        while True:
            try:
                code = self._broker.settle([settlement])[0]
            except BackendUnavailableError as error:
                log.warning("Redis is away, %s is settled later: %s", settlement.message.summary, error)
                time.sleep(_PAUSE_S)
                continue
            if not code.accepted:
                warn_refused(settlement, code)
            elif not isinstance(settlement, Retried | Released):
                try:
                    settlement.message.release_lock(True, self._broker.backend)
                except Exception as error:
                    log.critical("The lock of %s cannot be released.", settlement.message.summary, exc_info=error)
            return code.accepted

    def _tell(self, recipe: Recipe, message: Message, status: TaskStatus) -> Steps[None]:
        if recipe.own_tracker is not None:
            yield from hook(recipe.task.update_status, message, status, blocks=True)

    def _body(self, message: Message, *, again: bool = False) -> bytes:
        try:
            return self._broker.pack(message.clone().increment_retries() if again else message)
        except Exception:
            # User code put something into the message that cannot be copied or stored: what was submitted stays.
            log.exception("The changes that the task made to %s cannot be stored.", message.summary)
            return b""


def may_settle(attempt: Attempt) -> bool:
    """Tell whether who asks is to settle: for the first time, or again after an interruption in the middle."""
    if attempt.win():
        attempt.owned = True
    return attempt.owned and attempt.settlement is None


def hook(call: Callable[..., Any], *args: Any, blocks: bool = False) -> Steps[None]:
    """Call what the user wrote around a task: what fails there is logged with its name and breaks nothing."""
    try:
        yield Step(lambda: call(*args), blocks)
    except GeneratorExit:
        raise
    except BaseException as error:
        log.critical("Error encountered with `%s()`.", getattr(call, "__name__", repr(call)), exc_info=error)


def warn_refused(settlement: Settlement, code: Code) -> None:
    """Say that a settlement came too late."""
    verb = type(settlement).__name__.lower()
    log.warning("%s: too late for %s (%s); nothing was changed.", settlement.message.summary, verb, code.name.lower())


def _timed_out(attempt: Attempt, error: BaseException) -> TimeoutError:
    # Whatever the code in between made of our interruption: libraries turn a TimeoutError into one of their own.
    timeout = TimeoutError(attempt.why_interrupted).with_traceback(error.__traceback__)
    if not isinstance(error, TimeoutError | asyncio.CancelledError):
        timeout.__cause__ = error
    return timeout


def _is_tried_again(task: Task, message: Message, error: BaseException) -> Steps[bool]:
    if isinstance(error, Reject):
        return False
    try:
        return bool((yield Step(lambda: task.do_retry(message, error))))
    except GeneratorExit:
        raise
    except BaseException as broken:
        log.critical("Error encountered with `do_retry()`: the message is not tried again.", exc_info=broken)
        return False


def _backoff(message: Message) -> int:
    try:
        return settings2backoff(message.backoff_settings).get(message.retries + 1)
    except Exception:
        # Not known here, or with parameters that it does not take: the message is tried again all the same.
        log.exception("The backoff of %s cannot be used; the usual one takes its place.", message.summary)
        return ExponentialBackoff().get(message.retries + 1)
