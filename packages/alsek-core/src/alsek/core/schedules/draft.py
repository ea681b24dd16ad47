"""From what somebody wants to the definition that is stored, checked where it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.core import record
from alsek.core.callback import fold
from alsek.core.ids import derived_uuid
from alsek.core.message import Message
from alsek.core.rules import check_ms, check_name, check_priority
from alsek.core.schedules.book import Definition
from alsek.core.schedules.template import rename, stamp
from alsek.defaults import DEFAULT_QUEUE, DEFAULT_TTL
from alsek.exceptions import UnknownTaskError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alsek.core.broker import Broker
    from alsek.core.schedules.policy import FirePolicy
    from alsek.core.triggers import Trigger

#: What a call may say, and the parameter of `Task.generate` that it becomes.
_PARAMETERS: Final = {
    "args": "args",
    "kwargs": "kwargs",
    "queue": "queue",
    "priority": "priority",
    "delay": "delay",
    "timeout": "timeout_override",
    "result_ttl": "result_ttl",
    "metadata": "metadata",
    "previous_result": "previous_result",
    "callback": "callback",
}

#: Stands for the id of a message that is not made yet.
_NAMELESS: Final = derived_uuid(0, "template")


class Draft(NamedTuple):
    """What somebody wants: a task or its name, a trigger, a policy, and what the messages carry."""

    task: Any
    trigger: Trigger
    policy: FirePolicy
    call: Mapping[str, Any]


class Maker:
    """Makes definitions of drafts.

    Args:
        broker: Packs the messages.
        tasks: Those that are known here.
    """

    def __init__(self, broker: Broker, tasks: Iterable[Any]) -> None:
        self._broker = broker
        self._tasks = {task.name: task for task in tasks}

    def define(self, draft: Draft, owner: str, origin: str | None) -> Definition:
        """Make a definition.

        Raises:
            UnknownTaskError: Nobody knows the task.
            ValidationError: A value is not allowed.
            SerializationError: An argument cannot be serialised.
        """
        call = dict(draft.call)
        ttl = _ttl(call.pop("ttl", DEFAULT_TTL))
        task = self._find(draft.task)
        message = self._make(draft.task if task is None else task, call)
        if origin is None and task is not None:
            origin = getattr(task.function, "__module__", None)
        kept = None if task is None else task.submit_options({}).get("kept_status_ms")
        return Definition(
            message.task_name, message.queue, message.priority, message.delay, ttl, kept, draft.trigger, draft.policy,
            owner, origin, self.pack(message),
        )  # fmt: skip

    def redefine(self, draft: Draft, known: Definition, template: Message) -> Definition:
        """Make a definition that differs from another one in what the draft says."""
        call = {
            "args": template.args,
            "kwargs": template.kwargs,
            "queue": known.queue,
            "priority": known.priority,
            "delay": known.delay,
            "timeout": template.timeout,
            "result_ttl": template.result_ttl,
            "metadata": template.metadata,
            "callback": None if template.callback_message_data is None else Message(**template.callback_message_data),
            "ttl": known.ttl,
        } | dict(draft.call)
        made = self.define(draft._replace(call=call), known.owner, known.origin)
        if self._find(draft.task) is None:
            # Nobody here knows the task: what only it can say stays as it was.
            message = Message(**template.data | {
                "task_name": made.task, "queue": made.queue, "args": call["args"], "kwargs": call["kwargs"],
                "timeout": call["timeout"], "result_ttl": call["result_ttl"], "metadata": call["metadata"],
                "delay": made.delay, "priority": made.priority,
            })  # fmt: skip
            made = made._replace(kept_status_ms=known.kept_status_ms, body=self.pack(message))
        return made

    def pack(self, message: Message) -> bytes:
        """Give the body of a message without anything that differs from one making to the next."""
        followed = message.callback_message_data
        data = message.data | {"uuid": _NAMELESS, "created_at": 0, "updated_at": 0}
        if followed is not None:
            data["callback_message_data"] = rename(stamp(followed, 0), lambda depth: derived_uuid(0, "template", depth))
        return record.recast(self._broker.pack(Message(**data)))

    def _find(self, task: Any) -> Any:
        """Give the task itself; `None` where only its name is known."""
        if not isinstance(task, str):
            if not callable(getattr(task, "generate", None)):
                raise ValidationError(f"the task of a schedule is a task, or its name: {task!r}")
            return task
        known = self._tasks.get(check_name(task, "task name"))
        if known is None and self._tasks:
            some = ", ".join(sorted(self._tasks)[:10])
            raise UnknownTaskError(f"there is no task {task!r}; known are {some}", task_name=task)
        return known

    @staticmethod
    def _make(task: Any, call: dict[str, Any]) -> Message:
        unknown = call.keys() - _PARAMETERS.keys()
        if unknown:
            raise ValidationError(
                f"a schedule's messages have {', '.join(_PARAMETERS)} and ttl; not {', '.join(sorted(unknown))}"
            )
        if not isinstance(task, str):
            message: Message = task.make(**{_PARAMETERS[name]: value for name, value in call.items()})
            task.check_call(message.args, message.kwargs)
            return message
        chosen = {name: value for name, value in call.items() if value is not None and name != "callback"}
        followed = fold(call.get("callback"))
        return Message(
            task,
            queue=chosen.pop("queue", DEFAULT_QUEUE),
            callback_message_data=None if followed is None else followed.data,
            **chosen | {"priority": check_priority(chosen.get("priority", 0))},
        )


def _ttl(ttl: Any) -> int | None:
    return None if ttl is None else check_ms(ttl, "ttl", least=1)
