"""Messages of one bulk request that differ in their arguments only: what they share is checked and packed once.

Whatever is out of the ordinary takes the road of a single message, and so do mistakes, which are told there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.exceptions import AlsekError
from alsek.storage.backends.redis.acceptance import Arrival
from alsek_api.schemas.enqueue import EnqueueRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from alsek.core.mould import Mould
    from alsek_api.auth.keys import Principal
    from alsek_api.incoming import Incoming, Prepared

#: Kinds of messages remembered in one request; a request with more of them gains nothing.
_MOST_KINDS: Final = 100

#: Values that tell one kind from another; a bool would pass for the number that equals it.
_TELLING: Final = frozenset({str, int, type(None)})


class Made(NamedTuple):
    """A message that can be stored.

    Attributes:
        queue: Where it will wait.
        arrival: As it travels.
        warnings: What looks wrong about its arguments.
    """

    queue: str
    arrival: Arrival
    warnings: list[str]


class Alike:
    """Makes the messages of one request.

    Args:
        incoming: Makes any message.
        principal: Who asks.
    """

    def __init__(self, incoming: Incoming, principal: Principal) -> None:
        self._incoming = incoming
        self._principal = principal
        self._kinds: dict[tuple[Any, ...], _Kind] = {}

    def make(self, item: Any, uuid_of: Callable[[int | None], str]) -> Made:
        """Make a message of what was sent.

        Raises:
            pydantic.ValidationError: It is no message.
            Problem, AlsekError: As `Incoming.prepare`.
        """
        told = _told(item)
        kind = self._kinds.get(told[0]) if told is not None else None
        if told is not None and kind is not None:
            made = kind.make(self._incoming, told[1], told[2], uuid_of)
            if made is not None:
                return made
        asked = EnqueueRequest.model_validate(item)
        prepared = self._incoming.prepare(asked, self._principal, uuid_of)
        if told is not None and len(self._kinds) < _MOST_KINDS and _is_usual(asked):
            mould = self._incoming.mould(prepared.message)
            if mould.usable:
                self._kinds[told[0]] = _Kind(mould, prepared)
        return Made(prepared.message.queue, prepared.arrival, prepared.warnings)


class _Kind:
    """What messages share.

    Args:
        mould: Makes their bodies.
        prepared: One of them.
    """

    def __init__(self, mould: Mould, prepared: Prepared) -> None:
        self._mould = mould
        self._queue = prepared.message.queue
        self._task = prepared.message.task_name
        self._rest = prepared.arrival[3:8]
        self._ticket = prepared.arrival.tickets[0][1]

    def make(
        self, incoming: Incoming, args: list[Any], kwargs: dict[str, Any], uuid_of: Callable[[int | None], str]
    ) -> Made | None:
        """Make another one; `None` when these arguments cannot be stored.

        Raises:
            Problem: 422: they are wrong.
        """
        try:
            body = self._mould.body(args, kwargs)
        except AlsekError:
            return None
        if len(body) > incoming.max_bytes:
            return None
        uuid = uuid_of(None)  # one for each message, also for a refused one: a repeat has to come to the same
        warnings = incoming.check(self._task, args, kwargs)
        return Made(
            self._queue, Arrival(uuid, self._task, body, *self._rest, tickets=((uuid, self._ticket),)), warnings
        )


def _told(item: Any) -> tuple[tuple[Any, ...], list[Any], dict[str, Any]] | None:
    """Give the kind of a message, and its arguments; `None` when it says more than words and numbers."""
    if item.__class__ is not dict:
        return None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    telling: list[Any] = []
    for name, value in item.items():
        if name == "args" and value.__class__ is list:
            args = value
        elif name == "kwargs" and value.__class__ is dict:
            kwargs = value
        elif value.__class__ in _TELLING:
            telling += name, value
        else:
            return None
    return tuple(telling), args, kwargs


def _is_usual(asked: EnqueueRequest) -> bool:
    """Tell whether all that a message says besides its arguments holds for the next one like it."""
    return asked.run_at is None and not asked.callbacks and asked.metadata is None and asked.backoff is None
