"""What has to be done for the messages of one task: found out once, so that a hook nobody wrote costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alsek.core.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.core.message import Message
    from alsek.core.status.standard import StatusTracker
    from alsek_worker.progress import Teller


class Recipe(NamedTuple):
    """What of a task a worker has to do; what was not overridden is not called."""

    task: Task
    call: Callable[[Message], Any] | None
    pre_op: Callable[[Message], Any] | None
    post_op: Callable[[Message, Any], Any] | None
    #: It has something to do after it is settled, and must know how that went: it is settled by itself.
    alone: bool
    #: A success leaves nothing but its result, in the same step.
    quiet: bool
    native_result: bool
    kept_status_ms: int | None
    #: Not the engine's: it is told statuses one by one.
    own_tracker: StatusTracker | None
    teller: Teller

    @classmethod
    def of(cls, task: Task, teller: Teller) -> Recipe:
        """Look once at what a task overrides."""
        kind = type(task)
        plain = kind.execute is Task.execute and kind.op is Task.op and not task.takes_message
        native_status = task.tracks_natively
        store, tracker = task.result_store, task.status_tracker
        native_result = store is not None and store.is_engine_native(task.broker.backend)
        own_tracker = None if native_status else tracker
        alone = kind.on_success is not Task.on_success or own_tracker is not None
        return cls(
            task=task,
            call=None if plain else task.execute,
            pre_op=None if kind.pre_op is Task.pre_op else task.pre_op,
            post_op=None if kind.post_op is Task.post_op else task.post_op,
            alone=alone,
            quiet=not alone and (store is None or native_result),
            native_result=native_result,
            kept_status_ms=(tracker.ttl or 0) if tracker is not None and native_status else None,
            own_tracker=own_tracker,
            teller=teller,
        )
