"""How a task makes its messages: one or many, at once or kept back, with what follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from alsek.core.async_generate import AsyncGenerate
from alsek.core.bulk import submit_many
from alsek.core.callback import Callback, fold
from alsek.core.hooks import TaskHooks
from alsek.core.ids import new_uuid
from alsek.core.message import Message
from alsek.core.mould import cast_many
from alsek.core.rules import check_args, check_mapping
from alsek.core.status.types import TaskStatus
from alsek.core.uniqueness import UNIQUE_OPTIONS, check_window, enqueue, make_unique
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence

    from alsek.core.backoff import BackoffSettingsType
    from alsek.core.broker import Broker
    from alsek.core.status.standard import StatusTracker
    from alsek.storage.backends.redis.unique_verbs import Unique
    from alsek.storage.result import ResultStore
    from alsek.types import SupportedMechanismType


class Generation(AsyncGenerate):
    """Mixed into `Task`, which brings what a message is made of."""

    broker: Broker
    queue: str
    timeout: int
    mechanism: SupportedMechanismType
    no_positional_args: bool
    result_store: ResultStore | None
    status_tracker: StatusTracker | None
    unique_for: int | None
    unique_key: Any
    _name: str
    _backoff_settings: BackoffSettingsType
    _defers: threading.local

    @property
    def name(self) -> str:
        """The name that messages carry."""
        return self._name

    @property
    def tracks_natively(self) -> bool:
        """Whether the verbs write the statuses themselves, in the same step as the transition."""
        tracker = self.status_tracker
        return tracker is not None and tracker.is_engine_native(self.broker.backend)

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
        """Make a message of this task and enqueue it.

        Args:
            args: Positional arguments.
            kwargs: Keyword arguments.
            priority: 0 to 4095, lower runs sooner.
            metadata: Anything serialisable that travels along.
            result_ttl: How long the result is kept, ms; `None`: the default retention.
            uuid: Own id instead of a new UUIDv7.
            timeout_override: Instead of the task's, ms.
            delay: ms before it may run.
            previous_result: As a callback would get it.
            callback: Runs after this one succeeded: a message (with a callback of its own: nested), or several.
            queue: Instead of the task's.
            submit: `False`: only make it.
            unique_for: Instead of the task's, ms; 0: not unique.
            unique_key: Instead of the task's.
            **options: For `Broker.submit`, such as `ttl`.

        Returns:
            The message; a duplicate of a unique one has the uuid of the one that is there, and `duplicate_of` says so.

        Raises:
            WrongArgumentsError: The function does not take these arguments.
            ValidationError: A result ttl without a result store, positional arguments where there must be none, or a
                value out of its range.
            SerializationError: An argument cannot be serialised; nothing was enqueued.
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
            if unique_for or unique_key is not None:
                raise ValidationError("a message that is kept back, by submit=False or defer(), cannot be unique")
            return message
        unique = self.unique(message, unique_for, unique_key, own=uuid is not None)
        if unique is None:
            self._submit(message, options)
        else:
            self._submit_unique([(message, unique)], options)
        return message

    def unique(self, message: Message, unique_for: int | None, unique_key: Any, *, own: bool) -> Unique | None:
        """Find out what makes a message unique, where call or task say that it is; see `uniqueness.make_unique`."""
        if unique_for is None:
            unique_for = self.unique_for
        if unique_for is None and unique_key is None:
            return None
        window = check_window(unique_for, unique_key)
        return None if window is None else make_unique(self, message, window, unique_key, own=own)

    def make(
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
    ) -> Message:
        """Make a message as `generate` does; neither enqueue it, nor ask whether the function takes its arguments."""
        self.check(args, result_ttl)
        folded = fold(callback)
        return Message(
            self.name,
            queue=queue or self.queue,
            args=check_args(args) if args else None,
            kwargs=dict(check_mapping(kwargs, "kwargs")) if kwargs else None,
            priority=priority,
            metadata=metadata,
            result_ttl=result_ttl,
            uuid=uuid or self._new_uuid(folded),
            timeout=timeout_override or self.timeout,
            delay=delay,
            previous_result=previous_result,
            callback_message_data=folded.data if folded is not None else None,
            backoff_settings=self._backoff_settings,
            mechanism=self.mechanism,
        )

    def generate_many(
        self,
        calls: Iterable[Mapping[str, Any]],
        *,
        submit: bool = True,
        **common: Any,
    ) -> list[Message]:
        """Make many messages and enqueue them in a few round trips.

        Args:
            calls: For each message what `generate` takes: `{"args": (1, 2), "priority": 3}`.
            submit: `False`: only make them.
            **common: The same for all messages; a call's own value wins. `ttl` goes to the broker.

        Returns:
            The messages in order.

        Raises:
            MessageAlreadyExistsError: Some uuids are alive already (`.uuids`); all other messages were enqueued.
            ValidationError: As in `generate`; nothing was enqueued.
        """
        ttl = common.pop("ttl", DEFAULT_TTL)
        if not submit:
            return [self.generate(submit=False, **{**common, **call}) for call in calls]
        if self.unique_for is not None or not common.keys().isdisjoint(UNIQUE_OPTIONS):
            return self._generate_unique(calls, common, ttl)
        made = list(cast_many(self, calls, common, ttl))
        messages = [message for message, _ in made]
        self.announce(messages)
        submit_many(self.broker, ((message.queue, new) for message, new in made))
        if type(self).on_submit is not TaskHooks.on_submit:
            for message in messages:
                self.on_submit(message)
        return messages

    def _generate_unique(
        self, calls: Iterable[Mapping[str, Any]], common: dict[str, Any], ttl: int | None
    ) -> list[Message]:
        made: list[tuple[Message, Unique | None]] = []
        for call in calls:
            choices = {**common, **call}
            unique_for, unique_key = (choices.pop(name, None) for name in UNIQUE_OPTIONS)
            message = self.generate(submit=False, **choices)
            made.append((message, self.unique(message, unique_for, unique_key, own="uuid" in choices)))
        self._submit_unique([(message, unique) for message, unique in made if unique is not None], {"ttl": ttl})
        for message, unique in made:
            if unique is None:
                self._submit(message, {"ttl": ttl})
        return [message for message, _ in made]

    def _submit_unique(self, messages: list[tuple[Message, Unique]], options: dict[str, Any]) -> None:
        self.announce([message for message, _ in messages])
        stored = enqueue(self, messages, self.submit_options(options))
        for (message, _), is_new in zip(messages, stored, strict=True):
            if is_new:
                self.on_submit(message)

    def defer(self) -> Self:
        """Make the next `generate()` of this thread keep its message to itself; can be nested."""
        self._defers.pending = getattr(self._defers, "pending", 0) + 1
        return self

    def cancel_defer(self) -> Self:
        """Take one `defer()` back."""
        self._defers.pending = max(0, getattr(self._defers, "pending", 0) - 1)
        return self

    @property
    def deferred(self) -> bool:
        """Whether the next `generate()` of this thread will not submit."""
        return getattr(self._defers, "pending", 0) > 0

    def submit_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """Add to the broker's options how the engine is to follow the status."""
        if self.status_tracker is not None and self.tracks_natively:
            return {**options, "kept_status_ms": self.status_tracker.ttl or 0}
        return options

    def _submit(self, message: Message, options: dict[str, Any]) -> None:
        self.announce((message,))
        try:
            self.broker.submit(
                message, **(self.submit_options(options) if self.status_tracker is not None else options)
            )
        except Exception:
            if self.status_tracker is not None and not self.tracks_natively:
                self.status_tracker.delete(message, check=False)
            raise
        self.on_submit(message)

    def announce(self, messages: Iterable[Message]) -> None:
        """Tell a tracker of the user's own that messages are about to be enqueued."""
        # A tracker of the user's own hears first: a quick worker must not be overtaken by SUBMITTED.
        if self.status_tracker is not None and not self.tracks_natively:
            for message in messages:
                self.status_tracker.set(message, TaskStatus.SUBMITTED)

    def check(self, args: Sequence[Any] | None, result_ttl: int | None) -> None:
        """Refuse what this task does not take, as `generate` does."""
        if result_ttl is not None and self.result_store is None:
            raise ValidationError(f"task {self.name} has no result store: result_ttl={result_ttl} would keep nothing")
        if args and self.no_positional_args:
            raise ValidationError(f"task {self.name} takes no positional arguments: use kwargs= instead of args=")
        if isinstance(args, str | bytes):
            raise ValidationError(f"args has to be a sequence of arguments, such as ({args!r},): {args!r}")

    def check_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the task's function does not take."""
        raise NotImplementedError

    def normal_call(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give a call in the one form that all calls with the same meaning have."""
        raise NotImplementedError

    def _take_defer(self) -> bool:
        pending = getattr(self._defers, "pending", 0)
        if pending:
            self._defers.pending = pending - 1
        return pending > 0

    def _new_uuid(self, callback: Message | None) -> str:
        # A parent lies in its callback's partition, so that both settle in one atomic step.
        uuid = new_uuid()
        if callback is None or self.broker.keys.partitions == 1:
            return uuid
        home = self.broker.keys.partition(callback.uuid)
        while self.broker.keys.partition(uuid) != home:
            uuid = new_uuid()
        return uuid
