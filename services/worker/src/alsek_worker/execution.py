"""The one place where user code runs: a message goes through begin → run → settle, whatever it raises."""

from __future__ import annotations

import inspect
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from alsek.core.backoff import ExponentialBackoff, settings2backoff
from alsek.core.callback import follow_up
from alsek.core.current import current_run
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
from alsek.logging import current_message
from alsek.storage.backends.redis.verbs import NewMessage, StoredResult
from alsek_worker.attempt import Attempt
from alsek_worker.hooks import call_hook, is_tried_again, warn_refused
from alsek_worker.progress import Teller
from alsek_worker.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.core.broker import Broker
    from alsek.core.message import Message
    from alsek.core.task import Task

#: The names that upstream's log lines carry: programs and eyes are used to them.
log = logging.getLogger("alsek.core.futures")

#: Pause between two attempts to settle alone while Redis is away, seconds.
_PAUSE_S: Final = 0.5


class Execution:
    """Runs messages and decides what becomes of them.

    Args:
        tasks: By name.
        broker: Settles what has to be settled alone.
        unknown_task_delay_ms: How long a message of an unknown task is left for a newer worker.
    """

    def __init__(self, tasks: Mapping[str, Task], broker: Broker, unknown_task_delay_ms: int = 30_000) -> None:
        self._teller = Teller(broker)
        self._recipes = {name: Recipe.of(task, self._teller) for name, task in tasks.items()}
        self._broker = broker
        self._unknown_task_delay_ms = unknown_task_delay_ms

    def recipe(self, message: Message) -> Recipe | None:
        """Give the recipe of a message's task, if this worker knows it."""
        return self._recipes.get(message.task_name)

    # -- run -----------------------------------------------------------------------------------------------------

    def run(self, attempt: Attempt) -> None:
        """Run an attempt in this thread, and leave its settlement in it."""
        message, recipe = attempt.message, attempt.recipe
        if recipe is None:
            self._refuse(attempt)
            return
        bound, running = current_message.set(message), current_run.set(attempt)
        try:
            self._received(message, recipe)
            if recipe.pre_op is not None:
                recipe.pre_op(message)
            if recipe.call is None:
                result = recipe.task.function(*message.args, **message.kwargs)
            else:
                result = recipe.call(message)
            if recipe.post_op is not None and attempt.interruption is not RevokedError:
                message.exception_details = None
                recipe.post_op(message, result)
            if attempt.reported:
                self._teller.flush(attempt)
            self._end_well(attempt, recipe, result)
        except BaseException as error:  # noqa: BLE001  (user code may raise anything, SystemExit included)
            if attempt.reported and attempt.interruption is None:
                self._teller.flush(attempt)
            self._end_badly(attempt, recipe, error)
        finally:
            current_message.reset(bound)
            current_run.reset(running)

    async def run_async(self, attempt: Attempt) -> None:
        """Run an attempt as a coroutine, and leave its settlement in it."""
        message, recipe = attempt.message, attempt.recipe
        if recipe is None:
            self._refuse(attempt)
            return
        current_message.set(message)  # the asyncio task has a context of its own
        current_run.set(attempt)
        try:
            self._received(message, recipe)
            if recipe.pre_op is not None and inspect.isawaitable(made := recipe.pre_op(message)):
                await made
            if recipe.call is None:
                result = await recipe.task.function(*message.args, **message.kwargs)
            else:
                result = recipe.call(message)
                if inspect.isawaitable(result):
                    result = await result
            if recipe.post_op is not None and attempt.interruption is not RevokedError:
                message.exception_details = None
                if inspect.isawaitable(made := recipe.post_op(message, result)):
                    await made
            if attempt.reported:
                await self._teller.flush_async(attempt)
            self._end_well(attempt, recipe, result)
        except BaseException as error:  # noqa: BLE001  (as above; CancelledError is how we interrupt)
            if attempt.interruption is not None:
                error = attempt.interruption(attempt.why_interrupted).with_traceback(error.__traceback__)
            elif attempt.reported:
                await self._teller.flush_async(attempt)
            self._end_badly(attempt, recipe, error)

    # -- settle --------------------------------------------------------------------------------------------------

    def give_up(self, attempt: Attempt) -> None:
        """Settle an attempt that does not end by itself at its deadline; its late end will change nothing."""
        if attempt.recipe is not None and attempt.win():
            self._fail(attempt, attempt.recipe, TimeoutError(attempt.why_interrupted))

    def break_off(self, attempt: Attempt, error: BaseException) -> None:
        """End an attempt whose end was itself cut short: by an interruption, or because something of ours failed.

        Args:
            attempt: Whose `run` raised.
            error: What it raised.
        """
        try:
            if attempt.interruption is not None and attempt.recipe is not None:
                self._end_badly(attempt, attempt.recipe, error)
        except BaseException as broken:
            log.critical("%s cannot be settled as it should.", attempt.message.summary, exc_info=broken)
        if attempt.interruption not in (RevokedError, LeaseLostError) and self._may_settle(attempt):
            log.critical("%s is given back: it cannot be settled.", attempt.message.summary, exc_info=error)
            attempt.settlement = Released(attempt.message, counts=True, error=pack_error(parse_exception(error)))

    def settle_failure(self, message: Message, error: BaseException) -> None:
        """Let a message that somebody else ran (a child that is dead now) fail: hooks, then retry or dead letters."""
        recipe = self.recipe(message)
        attempt = Attempt(message, recipe, -1)
        if recipe is not None and attempt.win():
            self._fail(attempt, recipe, error)
        else:
            attempt.settlement = Failed(message, "failed", pack_error(parse_exception(error)))
        if attempt.settlement is not None:
            self._broker.settle([attempt.settlement])

    def revoked(self, message: Message) -> None:
        """Run the hooks of a message that was revoked while a child ran it that is dead now."""
        recipe = self.recipe(message)
        if recipe is not None:
            self._hooks_of_revocation(recipe.task, message, RevokedError("Task Revoked"), None)

    def _received(self, message: Message, recipe: Recipe) -> None:
        if log.isEnabledFor(logging.INFO):
            log.info("Received %s...", message.summary)
        if recipe.alone and recipe.kept_status_ms is None and recipe.task.status_tracker is not None:
            recipe.task.update_status(message, TaskStatus.RUNNING)

    def _succeed(self, attempt: Attempt, recipe: Recipe, result: Any) -> None:
        message, task = attempt.message, recipe.task
        try:
            message.exception_details = None
            stored, callback = None, None
            store = task.result_store
            if store is not None:
                if recipe.native_result:
                    stored = StoredResult(*store.wire(message, result))
                else:
                    store.set(message, result, nx=False)
            if message.callback_message_data is not None and task.do_callback(message, result):
                callback = self._callback(message, recipe, result)
        except BaseException as error:  # noqa: BLE001  (a result that cannot be stored, a hook that fails)
            self._fail(attempt, recipe, error)
            return
        if log.isEnabledFor(logging.INFO):
            log.info("Successfully processed %s.", message.summary)
        settlement = Succeeded(message, stored, callback)
        if recipe.alone or message.linked_lock:
            accepted = self._settle_alone(settlement)
            attempt.owned = False
            if accepted:
                self._tell(recipe, message, TaskStatus.SUCCEEDED)
                call_hook(task.on_success, message, result)
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

    def _end_well(self, attempt: Attempt, recipe: Recipe, result: Any) -> None:
        if attempt.interruption is RevokedError:
            # It swallowed the interruption, or had returned when that came: nobody wants the result any more.
            self._end_revoked(attempt, recipe, None, result)
        elif self._may_settle(attempt):
            self._succeed(attempt, recipe, result)

    @staticmethod
    def _may_settle(attempt: Attempt) -> bool:
        # A second time when an interruption came in the middle of the first.
        if attempt.win():
            attempt.owned = True
        return attempt.owned and attempt.settlement is None

    def _end_revoked(self, attempt: Attempt, recipe: Recipe, error: BaseException | None, result: Any) -> None:
        attempt.win()
        # Once: a thread may be interrupted while these hooks run already.
        if not attempt.mourned:
            attempt.mourned = True
            self._hooks_of_revocation(recipe.task, attempt.message, error, result)

    def _end_badly(self, attempt: Attempt, recipe: Recipe, error: BaseException) -> None:
        message, interruption = attempt.message, attempt.interruption
        if interruption is RevokedError:
            self._end_revoked(attempt, recipe, RevokedError("Task Revoked"), None)
        elif interruption is LeaseLostError:
            attempt.win()
            log.warning("%s was interrupted: its lease is lost, another worker may have it.", message.summary)
        elif interruption is TerminationError:
            if self._may_settle(attempt):
                attempt.settlement = Released(message)
        elif self._may_settle(attempt):
            self._fail(attempt, recipe, error)

    def _fail(self, attempt: Attempt, recipe: Recipe, error: BaseException) -> None:
        message, task = attempt.message, recipe.task
        if isinstance(error, Snooze):
            self._snooze(attempt, recipe, error)
            return
        log.error("Error processing %s.", message.summary, exc_info=error)
        message.exception_details = parse_exception(error)
        if recipe.post_op is not None:
            call_hook(recipe.post_op, message, None)
        again = is_tried_again(task, message, error)
        settlement: Settlement
        if again:
            call_hook(task.on_retry, message, error)
            delay = self._backoff(message)
            log.info("Retrying %s in %s ms...", message.summary, format(delay, ","))
            details = pack_error(message.exception_details)
            settlement = Retried(message, delay, details, self._body(message, again=True))
        else:
            log.error("Retries exhausted for %s.", message.summary)
            call_hook(task.on_failure, message, error)
            details = pack_error(message.exception_details)
            reason = "rejected" if isinstance(error, Reject) else "failed"
            settlement = Failed(message, reason, details, self._body(message))
        self._settle(attempt, recipe, settlement, TaskStatus.RETRYING if again else TaskStatus.FAILED)

    def _snooze(self, attempt: Attempt, recipe: Recipe, snooze: Snooze) -> None:
        message, delay = attempt.message, int(snooze.seconds * 1000)
        log.info("Snoozing %s for %s ms...", message.summary, format(delay, ","))
        if recipe.post_op is not None:
            call_hook(recipe.post_op, message, None)
        self._settle(attempt, recipe, Released(message, delay_ms=delay), TaskStatus.SUBMITTED)

    def _settle(self, attempt: Attempt, recipe: Recipe, settlement: Settlement, status: TaskStatus) -> None:
        if recipe.alone or attempt.message.linked_lock:
            accepted = self._settle_alone(settlement)
            attempt.owned = False
            if accepted:
                self._tell(recipe, attempt.message, status)
        else:
            attempt.settlement = settlement

    @staticmethod
    def _backoff(message: Message) -> int:
        try:
            return settings2backoff(message.backoff_settings).get(message.retries + 1)
        except Exception:
            # Not known here, or with parameters that it does not take: the message is tried again all the same.
            log.exception("The backoff of %s cannot be used; the usual one takes its place.", message.summary)
            return ExponentialBackoff().get(message.retries + 1)

    def _body(self, message: Message, *, again: bool = False) -> bytes:
        try:
            return self._broker.pack(message.clone().increment_retries() if again else message)
        except Exception:
            # User code put something into the message that cannot be copied or stored: what was submitted stays.
            log.exception("The changes that the task made to %s cannot be stored.", message.summary)
            return b""

    def _refuse(self, attempt: Attempt) -> None:
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
                call_hook(settlement.message.release_lock, True, self._broker.backend)
            return code.accepted

    def _tell(self, recipe: Recipe, message: Message, status: TaskStatus) -> None:
        if recipe.kept_status_ms is None:
            call_hook(recipe.task.update_status, message, status)

    def _hooks_of_revocation(self, task: Task, message: Message, error: BaseException | None, result: Any) -> None:
        log.info("Evicting '%s' due to task revocation...", message.summary)
        cause = error or RevokedError("Task Revoked")
        message.exception_details = parse_exception(cause)
        call_hook(task.on_revocation, message, error, result)
        call_hook(task.on_failure, message, cause)
        call_hook(message.release_lock, True, self._broker.backend)
