"""How a task is fired by a trigger: its schedule in Redis, and who fires it.

The schedule is durable; schedulers fire it, as services or, where `alsek-scheduler` is installed, in the very process
that called `generate()`. The core finds that one through an entry point.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol

from alsek.core.generation import Generation
from alsek.core.schedules import FirePolicy, ScheduleStore
from alsek.core.status.types import TaskStatus
from alsek.core.triggers import adopt
from alsek.defaults import ALSEK_WORKER_POOL_ENV_VAR, DEFAULT_TTL
from alsek.exceptions import ScheduleNotFoundError, SchedulingError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from alsek.core.callback import Callback
    from alsek.core.message import Message
    from alsek.core.schedules import Schedule

#: A service that can fire schedules inside of a program announces it in this group of entry points.
GROUP: Final = "alsek.candidates"

#: `external` leaves the firing to scheduler services.
SCHEDULER_ENV_VAR: Final = "ALSEK_SCHEDULER"


class Candidates(Protocol):
    """Schedulers inside of this process."""

    def join(self, task: Any) -> None:
        """Let a task be fired from here."""

    def leave(self, task: Any) -> None:
        """Let it be no longer."""

    def runs(self, task: Any) -> bool:
        """Tell whether it may be fired from here."""


class SchedulerFace:
    """What upstream's `TriggerTask.scheduler` showed: whether the task is fired from this process, and whether it is
    paused.

    Args:
        owner: Whose.
    """  # noqa: D205  (two facts do not fit one line)

    #: As APScheduler numbers them.
    STOPPED, RUNNING, PAUSED = 0, 1, 2

    def __init__(self, owner: Triggering) -> None:
        self._owner = owner

    @property
    def running(self) -> bool:
        """Whether a scheduler of this process takes part in the election for the task."""
        found = candidates()
        return found is not None and found.runs(self._owner)

    @property
    def state(self) -> int:
        """0 stopped, 1 running, 2 paused; as in APScheduler."""
        if not self.running:
            return self.STOPPED
        schedule = self._owner.schedule
        return self.PAUSED if schedule is not None and schedule.state == "paused" else self.RUNNING


class Triggering(Generation):
    """Mixed into `TriggerTask`, which brings what a message is made of."""

    trigger: Any
    policy: FirePolicy
    function: Callable[..., Any]

    def set_trigger(self, trigger: Any, policy: FirePolicy | None) -> None:
        """Say when to fire; refuses what is no trigger."""
        adopt(trigger)
        self.trigger = trigger
        self.policy = policy or FirePolicy()
        self.scheduler = SchedulerFace(self)
        self._generated = False

    def generate(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
        metadata: dict[str, Any] | None = None,
        result_ttl: int | None = None,
        uuid: str | None = None,
        timeout_override: int | None = None,
        delay: int | None = None,
        previous_result: Any = None,
        callback: Callback | None = None,
        queue: str | None = None,
        submit: bool = True,
        unique_for: int | None = None,
        unique_key: str | None = None,
        **options: Any,
    ) -> Message:
        """Schedule the task, and see to it that it is fired.

        The schedule is named after the task and stays in Redis; one that is there already goes on. Where
        `alsek-scheduler` is installed, a scheduler takes part in the election from a thread of this process (not in
        workers, nor with `ALSEK_SCHEDULER=external`).

        Args:
            args: As in `Task.generate`, as for the others.
            kwargs: See `args`.
            priority: See `args`.
            metadata: See `args`.
            result_ttl: See `args`.
            uuid: Of the first message.
            timeout_override: See `args`.
            delay: See `args`.
            previous_result: See `args`.
            callback: See `args`; each fire gets callbacks of its own.
            queue: See `args`.
            submit: `False`: only make a message.
            unique_for: Not for scheduled tasks: their policy decides about overlaps.
            unique_key: See `unique_for`.
            **options: `ttl`: ms after which nobody needs to run a message any more.

        Returns:
            The first message: the progenitor of all others.

        Raises:
            SchedulingError: The task is scheduled already; its name is taken by a schedule that was made at run time;
                or nobody here could fire it.
            ValidationError: As in `Task.generate`.
        """
        message = self.make(
            args,
            kwargs,
            priority,
            metadata,
            result_ttl,
            uuid,
            timeout_override,
            delay,
            previous_result,
            callback,
            queue,
        )
        self.check_call(message.args, message.kwargs)
        if self._take_defer() or not submit:
            return message
        if self.generated:
            raise SchedulingError(f"task {self.name} is scheduled already; clear() first")
        if unique_for is not None or unique_key is not None:
            raise ValidationError(
                f"task {self.name} is fired by a trigger: use FirePolicy(overlap=...), not unique_for"
            )
        found = self._scheduler_here()
        call = {
            "priority": priority, "metadata": metadata, "result_ttl": result_ttl, "timeout": timeout_override,
            "delay": delay, "previous_result": previous_result, "callback": callback, "queue": queue,
            "ttl": options.pop("ttl", DEFAULT_TTL),
        }  # fmt: skip
        if options:
            raise ValidationError(f"a scheduled task takes ttl= besides; not {', '.join(sorted(options))}")
        schedule, begun = self.register(ScheduleStore(self.broker), call, first_uuid=uuid)
        self._generated = True
        first = self.make(
            args, kwargs, priority, metadata, result_ttl, schedule.first_uuid, timeout_override, delay,
            previous_result, callback, queue,
        )  # fmt: skip
        if begun and self.status_tracker is not None:
            self.status_tracker.set(first, TaskStatus.SUBMITTED)
        if found is not None:
            found.join(self)
        return first

    def register(
        self, store: ScheduleStore, call: Mapping[str, Any] | None = None, *, first_uuid: str | None = None
    ) -> tuple[Schedule, bool]:
        """Bring the schedule in Redis up to date with the code; see `ScheduleStore.register`."""
        origin = getattr(self.function, "__module__", None) or type(self).__module__
        return store.register(
            self.name, self, self.trigger, self.policy, origin, dict(call or {}), first_uuid=first_uuid
        )

    @property
    def schedule(self) -> Schedule | None:
        """The schedule as it stands in Redis; `None`: there is none."""
        try:
            return ScheduleStore(self.broker).get(self.name)
        except ScheduleNotFoundError:
            return None

    @property
    def generated(self) -> bool:
        """Whether the task was scheduled here, and will be fired again."""
        if not self._generated:
            return False
        schedule = self.schedule
        return schedule is not None and schedule.state in ("active", "paused")

    def pause(self) -> None:
        """Fire no more, from any process, until `resume`."""
        if self.schedule is not None:
            ScheduleStore(self.broker).pause(self.name)

    def resume(self) -> None:
        """Fire again, from the next instant on."""
        if self.schedule is not None:
            ScheduleStore(self.broker).resume(self.name)

    def clear(self) -> None:
        """Delete the schedule, for all processes; `generate()` makes a new one.

        Raises:
            AttributeError: There is none.
        """
        self._generated = False
        try:
            ScheduleStore(self.broker).delete(self.name)
        except ScheduleNotFoundError:
            raise AttributeError(f"task {self.name} is not scheduled") from None

    def shutdown(self) -> None:
        """Fire no more from this process. The schedule stays: other schedulers go on firing it."""
        found = candidates()
        if found is not None:
            found.leave(self)

    def _scheduler_here(self) -> Candidates | None:
        """Give the schedulers of this process; `None`: others are to fire.

        Raises:
            SchedulingError: Nobody would.
        """
        if os.environ.get(SCHEDULER_ENV_VAR) == "external" or os.environ.get(ALSEK_WORKER_POOL_ENV_VAR) == "true":
            return None
        found = candidates()
        if found is None:
            raise SchedulingError(
                f"task {self.name} is fired by a trigger: that takes the scheduler, which is not installed here "
                f"(distribution alsek-scheduler); or set {SCHEDULER_ENV_VAR}=external where a scheduler service runs"
            )
        return found


@cache
def candidates() -> Candidates | None:
    """Give the schedulers of this process; `None` when the service is not installed."""
    for entry in entry_points(group=GROUP):
        found: Candidates = entry.load()
        return found
    return None
