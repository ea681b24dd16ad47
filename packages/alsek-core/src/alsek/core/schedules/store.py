"""Every change of a schedule passes through here, each as one atomic step in Redis."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from alsek.core.ids import new_uuid
from alsek.core.rules import check_name
from alsek.core.schedules.book import Definition, open_definition, open_template
from alsek.core.schedules.draft import Draft, Maker
from alsek.core.schedules.policy import FirePolicy
from alsek.core.schedules.reading import Reading, missing, ms_of
from alsek.core.schedules.template import Template, fire_uuid
from alsek.core.triggers import adopt
from alsek.core.triggers.moments import from_ms
from alsek.exceptions import ScheduleConflictError, ScheduleExistsError, SchedulingError, ValidationError
from alsek.storage.backends.redis.schedules import ANY_VERSION, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alsek.core.broker import Broker
    from alsek.core.schedules.schedule import Schedule
    from alsek.storage.backends.redis.link import Argument

#: A change that is always overtaken by fires and other changes gives up after so many attempts.
_MOST_ATTEMPTS: Final = 20

_MOST_IN_A_PAGE: Final = 500


class ScheduleStore(Reading):
    """The schedules of a namespace: made and changed here, fired by whoever leads the schedulers.

    Safe for threads. A change names the version that it was made for: two who change the same schedule cannot overwrite
    each other unseen.

    Args:
        broker: Takes the messages.
        tasks: The tasks that are known here: their schedules are checked when they are made, down to the arguments.
            Without any, a task is given by name, and its queue as well.
    """

    def __init__(self, broker: Broker, tasks: Iterable[Any] = ()) -> None:
        super().__init__(broker)
        self._maker = Maker(broker, tasks)

    # -- making and changing ---------------------------------------------------------------------------------------

    def create(
        self,
        schedule_id: str,
        task: Any,
        trigger: Any,
        *,
        policy: FirePolicy | None = None,
        paused: bool = False,
        **call: Any,
    ) -> Schedule:
        """Make a schedule.

        Args:
            schedule_id: Its name, as of tasks.
            task: A task, or its name.
            trigger: When to fire: one of `alsek.core.triggers`, or of APScheduler.
            policy: What becomes of late and overlapping fires.
            paused: Do not fire before `resume`.
            **call: What its messages carry, as in `Task.generate`: `args`, `kwargs`, `queue`, `priority`, `delay`,
                `timeout`, `result_ttl`, `metadata`, `callback`; and `ttl`, ms after which nobody needs to run a message
                any more.

        Raises:
            ScheduleExistsError: There is one of this name.
            UnknownTaskError: Nobody knows the task.
            ValidationError: A value is not allowed, or the trigger has no instant left.
            SerializationError: An argument cannot be serialised.
        """
        check_name(schedule_id, "schedule id")
        draft = Draft(task, adopt(trigger), policy or FirePolicy(), call)
        definition = self._maker.define(draft, "user", None)
        for _ in range(_MOST_ATTEMPTS):
            now, _ = self._read(schedule_id)
            written = self._write(schedule_id, 0, "p" if paused else "a", definition, now, begin=True)
            if written == 0:
                raise ScheduleExistsError(f"there is a schedule {schedule_id} already")
            if written > 0:
                return self.get(schedule_id)
        raise self._overtaken(schedule_id)

    def update(
        self,
        schedule_id: str,
        version: int,
        *,
        task: Any = None,
        trigger: Any = None,
        policy: FirePolicy | None = None,
        **call: Any,
    ) -> Schedule:
        """Change a schedule; what is not named stays as it is. A new trigger begins now.

        Args:
            schedule_id: Which.
            version: The one that was read: if it was changed since, nothing is.
            task: See `create`, as for the others.
            trigger: See `create`.
            policy: See `create`.
            **call: See `create`.

        Raises:
            ScheduleNotFoundError: There is none.
            ScheduleConflictError: Somebody else changed it since.
            ValidationError: As in `create`.
        """
        for _ in range(_MOST_ATTEMPTS):
            now, fields = self._require(schedule_id, version)
            known = open_definition(fields)
            begin = trigger is not None
            new_trigger = adopt(trigger) if begin else known.trigger
            draft = Draft(task or known.task, new_trigger, policy or known.policy, call)
            template = open_template(known, self.broker.backend.serializer)
            definition = self._maker.redefine(draft, known, template)
            state = "p" if fields.get(b"s") == b"p" else "a"
            if self._write(schedule_id, version, state, definition, now, fields, begin=begin) > 0:
                return self.get(schedule_id)
        raise self._overtaken(schedule_id)

    def pause(self, schedule_id: str, version: int | None = None) -> Schedule:
        """Stop firing until `resume`; pausing twice is fine.

        Args:
            schedule_id: Which.
            version: The one that was read; `None`: whatever it is.

        Raises:
            ScheduleNotFoundError: There is none.
            ScheduleConflictError: Somebody else changed it since.
        """
        return self._switch(schedule_id, version, paused=True)

    def resume(self, schedule_id: str, version: int | None = None) -> Schedule:
        """Fire again, from the next instant on; a broken schedule gets another try.

        Args:
            schedule_id: Which.
            version: The one that was read; `None`: whatever it is.

        Raises:
            ScheduleNotFoundError: There is none.
            ScheduleConflictError: Somebody else changed it since.
        """
        return self._switch(schedule_id, version, paused=False)

    def delete(self, schedule_id: str, version: int | None = None) -> None:
        """Delete a schedule; the messages that it has fired stay.

        Args:
            schedule_id: Which.
            version: The one that was read; `None`: whatever it is.

        Raises:
            ScheduleNotFoundError: There is none.
            ScheduleConflictError: Somebody else changed it since.
        """
        code = self._run(self.verbs.delete(schedule_id, ANY_VERSION if version is None else version))
        if code == -1:
            raise missing(schedule_id)
        if code == -2:
            self._require(schedule_id, version)

    def fire(self, schedule_id: str) -> str:
        """Submit one message now, whatever the trigger says and also while it is paused; returns its uuid.

        The next fire stays as it is. The overlap policy is not asked.

        Raises:
            ScheduleNotFoundError: There is none.
        """
        for _ in range(_MOST_ATTEMPTS):
            now, fields = self._require(schedule_id)
            definition = open_definition(fields)
            template = Template(self.keys, schedule_id, definition.body, self.broker.backend.serializer)
            uuid = fire_uuid(self.keys, schedule_id, now, "now", new_uuid())
            first = fields.get(b"f", b"").decode() or None
            call = self.verbs.fire_now(
                schedule_id,
                int(fields[b"v"]),
                definition.queue,
                (
                    uuid,
                    definition.task,
                    template.body(now, first),
                    definition.priority,
                    definition.delay,
                    "" if definition.ttl is None else definition.ttl,
                    "" if definition.kept_status_ms is None else definition.kept_status_ms,
                ),
            )
            if self._run(call)[0] > 0:
                return uuid
        raise self._overtaken(schedule_id)

    # -- for code that owns schedules ------------------------------------------------------------------------------

    def register(
        self,
        schedule_id: str,
        task: Any,
        trigger: Any,
        policy: FirePolicy,
        origin: str,
        call: Mapping[str, Any],
        *,
        first_uuid: str | None = None,
    ) -> tuple[Schedule, bool]:
        """Make or change a schedule as code defines it; one that is as it should be stays untouched.

        Args:
            schedule_id: Its name.
            task: The task.
            trigger: When to fire.
            policy: What becomes of late and overlapping fires.
            origin: The module that defines it.
            call: As in `create`.
            first_uuid: Of its first message, if it begins now; it has to lie in the partition of the schedule.

        Returns:
            The schedule, and whether it begins with this call.

        Raises:
            SchedulingError: Somebody made a schedule of this name at run time.
            ValidationError: As in `create`.
        """
        check_name(schedule_id, "schedule id")
        definition = self._maker.define(Draft(task, adopt(trigger), policy, call), "code", origin)
        if first_uuid is not None and self.keys.partition(first_uuid) != self.keys.partition(schedule_id):
            raise ValidationError(
                f"a message {first_uuid} does not lie where schedule {schedule_id} does: leave the uuid out"
            )
        for _ in range(_MOST_ATTEMPTS):
            now, fields = self._read(schedule_id)
            if not fields:
                if self._write(schedule_id, 0, "a", definition, now, first=first_uuid, begin=True, late=True) > 0:
                    return self.get(schedule_id), True
                continue
            if fields.get(b"d") == definition.text() and fields.get(b"b") == definition.body:
                if fields.get(b"s") != b"x":
                    return self.get(schedule_id), False
            elif _owner(fields) != "code":
                raise SchedulingError(
                    f"there is a schedule {schedule_id} that was made at run time: delete it, or rename the task"
                )
            begin = _trigger_data(fields) != definition.trigger.data()
            state = "p" if fields.get(b"s") == b"p" else "a"
            version = int(fields[b"v"])
            if self._write(schedule_id, version, state, definition, now, fields, begin=begin, late=True) > 0:
                return self.get(schedule_id), begin
        raise self._overtaken(schedule_id)

    def mark_broken(self, schedule_id: str, version: int, reason: str) -> bool:
        """Take a schedule out of the line and say why; tells whether it was still as it was read."""
        mark = secrets.token_hex(8)
        call = self.verbs.put(schedule_id, version, mark, "x", None, {"r": " ".join(reason.split())[:500]})
        return self.verbs.read_put(self._run(call)).code > 0

    # -- within ----------------------------------------------------------------------------------------------------

    def _switch(self, schedule_id: str, version: int | None, *, paused: bool) -> Schedule:
        for _ in range(_MOST_ATTEMPTS):
            now, fields = self._require(schedule_id, version)
            if (fields.get(b"s") == b"p") == paused and (paused or fields.get(b"s") == b"a"):
                return self._open(Row(schedule_id, fields))
            following = None
            if not paused:
                trigger = open_definition(fields).trigger
                anchor, after = ms_of(fields, b"a"), max(now, ms_of(fields, b"l"))
                following = trigger.fire_after(after, anchor_ms=anchor, salt=schedule_id)
            call = self.verbs.put(
                schedule_id, int(fields[b"v"]), secrets.token_hex(8), "p" if paused else "a", following, {"r": ""}
            )
            if self.verbs.read_put(self._run(call)).code > 0:
                return self.get(schedule_id)
        raise self._overtaken(schedule_id)

    def _write(
        self,
        schedule_id: str,
        version: int,
        state: str,
        definition: Definition,
        now: int,
        fields: dict[bytes, bytes] | None = None,
        *,
        begin: bool,
        late: bool = False,
        first: str | None = None,
    ) -> int:
        values: dict[str, Argument] = {"d": definition.text(), "b": definition.body, "r": ""}
        handled = ms_of(fields or {}, b"l")
        if begin:
            following = definition.trigger.first_fire(max(now, handled), salt=schedule_id)
            if following is not None and following <= handled:
                following = definition.trigger.fire_after(handled, anchor_ms=now, salt=schedule_id)
            self._require_future(definition, following, now, late=late)
            values["a"] = now
        else:
            anchor = ms_of(fields or {}, b"a")
            following = definition.trigger.fire_after(max(now, handled), anchor_ms=anchor, salt=schedule_id)
            waiting = ms_of(fields or {}, b"n")
            if fields is not None and fields.get(b"s") == b"a" and handled < waiting <= now:
                following = waiting  # what is due already stays due
        if not fields or b"f" not in fields:
            values["f"] = first or fire_uuid(self.keys, schedule_id, now if following is None else following)
        # Between our look and this write one of the same id may have fired on, and been deleted.
        ahead = version == 0 and following is not None and following > now
        call = self.verbs.put(
            schedule_id, version, secrets.token_hex(8), state, None if state == "p" else following, values, ahead=ahead
        )
        return self.verbs.read_put(self._run(call)).code

    def _require_future(self, definition: Definition, following: int | None, now: int, *, late: bool) -> None:
        if late or (following is not None and following >= now - definition.policy.lateness_ms):
            return
        when = "" if following is None else f" ({from_ms(following, definition.trigger.zone).isoformat()})"
        raise ValidationError(f"the trigger {definition.trigger} has no instant left{when}: nothing would be fired")

    def _overtaken(self, schedule_id: str) -> ScheduleConflictError:
        return ScheduleConflictError(f"schedule {schedule_id} is changed by others all the time; try again")


def _owner(fields: dict[bytes, bytes]) -> str | None:
    try:
        return open_definition(fields).owner
    except ValidationError:
        return "code"  # nobody can read it: whoever defines it anew may have it


def _trigger_data(fields: dict[bytes, bytes]) -> dict[str, Any] | None:
    try:
        return open_definition(fields).trigger.data()
    except ValidationError:
        return None
