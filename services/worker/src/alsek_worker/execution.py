"""The one place where user code runs: a message goes through begin → run → settle, whatever it raises."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from alsek.core.current import current_run
from alsek.core.envelope import pack_error
from alsek.core.failure import parse_exception
from alsek.core.settlement import Failed, Released
from alsek.core.status.types import TaskStatus
from alsek.exceptions import LeaseLostError, RevokedError
from alsek.logging import current_message
from alsek.storage.backends.redis.scripts import Code
from alsek_worker.attempt import Attempt
from alsek_worker.ending import Ending, log, may_settle, warn_refused
from alsek_worker.progress import Teller
from alsek_worker.recipe import Recipe
from alsek_worker.steps import Steps, finish, finish_async, walk, walk_async

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.core.broker import Broker
    from alsek.core.message import Message
    from alsek.core.settlement import Settlement
    from alsek.core.task import Task


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
        self._ending = Ending(self._recipes, broker, unknown_task_delay_ms)

    def recipe(self, message: Message) -> Recipe | None:
        """Give the recipe of a message's task, if this worker knows it."""
        return self._recipes.get(message.task_name)

    def run(self, attempt: Attempt) -> None:
        """Run an attempt in this thread, and leave its settlement in it."""
        message, recipe = attempt.message, attempt.recipe
        if recipe is None:
            self._ending.refuse(attempt)
            return
        bound, running = current_message.set(message), current_run.set(attempt)
        try:
            _received(message)
            if recipe.own_tracker is not None:
                recipe.task.update_status(message, TaskStatus.RUNNING)
            if recipe.pre_op is not None:
                finish(recipe.pre_op(message))
            if recipe.call is None:
                result = recipe.task.function(*message.args, **message.kwargs)
            else:
                result = recipe.call(message)
            if recipe.post_op is not None and attempt.interruption is not RevokedError:
                message.exception_details = None
                finish(recipe.post_op(message, result))
            if attempt.reported:
                self._teller.flush(attempt)
            if not self._ending.at_once(attempt, recipe, result):
                walk(self._ending.well(attempt, recipe, result))
        except BaseException as error:  # noqa: BLE001  (user code may raise anything, SystemExit included)
            if attempt.reported and attempt.interruption is None:
                self._teller.flush(attempt)
            walk(self._ending.badly(attempt, recipe, error))
        finally:
            current_message.reset(bound)
            current_run.reset(running)

    async def run_async(self, attempt: Attempt) -> None:
        """Run an attempt as a coroutine, and leave its settlement in it."""
        message, recipe = attempt.message, attempt.recipe
        if recipe is None:
            self._ending.refuse(attempt)
            return
        current_message.set(message)  # the asyncio task has a context of its own
        current_run.set(attempt)
        try:
            _received(message)
            if recipe.own_tracker is not None:
                await asyncio.to_thread(recipe.task.update_status, message, TaskStatus.RUNNING)
            if recipe.pre_op is not None:
                await finish_async(recipe.pre_op(message))
            if recipe.call is None:
                result = await recipe.task.function(*message.args, **message.kwargs)
            else:
                result = await finish_async(recipe.call(message))
            if recipe.post_op is not None and attempt.interruption is not RevokedError:
                message.exception_details = None
                await finish_async(recipe.post_op(message, result))
            if attempt.reported:
                await self._teller.flush_async(attempt)
            if not self._ending.at_once(attempt, recipe, result):
                await walk_async(self._ending.well(attempt, recipe, result))
        except BaseException as error:  # noqa: BLE001  (as above; CancelledError is how we interrupt)
            if attempt.reported and attempt.interruption is None:
                await self._teller.flush_async(attempt)
            await walk_async(self._ending.badly(attempt, recipe, error))

    # -- ends that come from elsewhere ---------------------------------------------------------------------------

    def give_up(self, attempt: Attempt) -> None:
        """Settle an attempt that does not end by itself at its deadline; its late end will change nothing."""
        if attempt.recipe is not None and attempt.win():
            walk(self._ending.fail(attempt, attempt.recipe, TimeoutError(attempt.why_interrupted)))

    def break_off(self, attempt: Attempt, error: BaseException) -> None:
        """End an attempt whose end was itself cut short: by an interruption, or because something of ours failed.

        Args:
            attempt: Whose `run` raised.
            error: What it raised.
        """
        walk(self._break_off(attempt, error))

    async def break_off_async(self, attempt: Attempt, error: BaseException) -> None:
        """Do the same on an event loop."""
        await walk_async(self._break_off(attempt, error))

    def settle_failure(self, message: Message, error: BaseException) -> Settlement | None:
        """Let a message that a child ran that is dead now fail; gives what became of it, unless it was too late."""
        recipe = self.recipe(message)
        attempt = Attempt(message, recipe, -1)
        if recipe is not None and attempt.win():
            walk(self._ending.fail(attempt, recipe, error))
        else:
            attempt.settlement = Failed(message, "failed", pack_error(parse_exception(error)))
        if attempt.settlement is not None and self._broker.settle([attempt.settlement])[0].accepted:
            return attempt.settlement
        return attempt.settled_alone

    def revoked(self, message: Message) -> None:
        """Run the hooks of a message that was revoked while it ran, and that nobody can interrupt any more."""
        recipe = self.recipe(message)
        if recipe is not None:
            walk(self._ending.revocation(recipe.task, message, RevokedError("Task Revoked")))

    def refused(self, attempt: Attempt, settlement: Settlement, code: Code) -> None:
        """Say that a settlement came too late; hooks of a revocation that came just before it run in a thread."""
        warn_refused(settlement, code)
        if code is Code.REVOKED and not attempt.mourned:
            attempt.mourned = True
            threading.Thread(target=self.revoked, args=(attempt.message,), name="revocation", daemon=True).start()

    def buried(self, message: Message, error: BaseException) -> None:
        """Run the hooks of a message that became a dead letter because it kept killing its workers."""
        recipe = self.recipe(message)
        if recipe is not None:
            walk(self._ending.burial(recipe.task, message, error))

    def _break_off(self, attempt: Attempt, error: BaseException) -> Steps[None]:
        try:
            if attempt.interruption is not None and attempt.recipe is not None:
                yield from self._ending.badly(attempt, attempt.recipe, error)
        except GeneratorExit:
            raise
        except BaseException as broken:  # noqa: BLE001  (as above)
            log.critical("%s cannot be settled as it should.", attempt.message.summary, exc_info=broken)
        if attempt.interruption not in (RevokedError, LeaseLostError) and may_settle(attempt):
            log.critical("%s is given back: it cannot be settled.", attempt.message.summary, exc_info=error)
            attempt.settlement = Released(attempt.message, counts=True, error=pack_error(parse_exception(error)))


def _received(message: Message) -> None:
    if log.isEnabledFor(logging.INFO):
        log.info("Received %s...", message.summary)
