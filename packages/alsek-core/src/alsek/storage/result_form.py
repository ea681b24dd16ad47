"""What the synchronous and the asynchronous result store share: names and forms of results, and whose they are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from alsek.core.envelope import open_error
from alsek.defaults import DEFAULT_RESULT_RETENTION_MS
from alsek.exceptions import PayloadTooLargeError, TaskFailedError
from alsek.storage.backends.redis.results import Results
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.storage.backends.redis.verbs import StoredResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import Backend
    from alsek.storage.backends.redis.values import Outcome


class ResultForm:
    """Base of the stores.

    Args:
        backend: Where the results lie.
        max_result_bytes: Largest serialised result accepted.
    """

    def __init__(self, backend: Backend, max_result_bytes: int) -> None:
        self.backend = backend
        self.max_result_bytes = max_result_bytes

    def __repr__(self) -> str:
        return f"{type(self).__name__}(backend={self.backend!r})"

    @staticmethod
    def get_storage_name(message: Message) -> str:
        """Give the name of a message's result."""
        progenitor = message.progenitor_uuid
        return f"results:{progenitor}:descendants:{message.uuid}" if progenitor else f"results:{message.uuid}"

    def serialize(self, result: Any) -> str | bytes:
        """Turn a result into what is stored behind the time of writing."""
        text: str | bytes = self.backend.serializer.forward(result)
        return text

    def deserialize(self, stored: bytes) -> tuple[Any, int]:
        """Turn what is stored back into the result and the time of writing, ms."""
        written, _, text = stored.partition(b":")
        return self.backend.reverse(text), int(written)

    def wire(self, message: Message, result: Any) -> StoredResult:
        """Give a result the form in which an ack stores it, in the same step.

        Raises:
            SerializationError: The serializer cannot hold it.
            PayloadTooLargeError: It takes more than `max_result_bytes`.
        """
        text = self.serialize(result)
        size = len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())
        if size > self.max_result_bytes:
            raise PayloadTooLargeError(
                f"The result of {message.summary} takes {size:,} bytes, more than the {self.max_result_bytes:,} "
                "allowed: keep large data elsewhere, and return its address",
                size=size,
                limit=self.max_result_bytes,
            )
        kids_key, progenitor = "", message.progenitor_uuid
        if progenitor and isinstance(self.backend, RedisBackend):
            keys = self.backend.keys
            if keys.partition(progenitor) == keys.partition(message.uuid):
                kids_key = keys.kids(progenitor).removeprefix(keys.tag_of(progenitor))
            else:
                # Out of reach for the step that stores the result.
                redis = Results(keys, self.backend.links)
                redis.note_descendant(progenitor, message.uuid, time.time_ns() // 1_000_000, _ttl(message))
        return StoredResult(self.get_storage_name(message), text, _ttl(message), kids_key)

    def _family_of(self, message: Message, descendants: bool, ask: Callable[[str], Sequence[str]]) -> Family:
        """Give the results that a question is about; `ask` tells who stored one below a progenitor."""
        root = message.progenitor_uuid or message.uuid
        members: dict[str, str] = {message.uuid: self.get_storage_name(message)}
        if not descendants:
            return Family(root, list(members.items()), True)
        known = message.descendant_uuids
        uuids: Sequence[str] = known or []
        if not known:
            members.setdefault(root, f"results:{root}")
            uuids = ask(root)
        for uuid in uuids:
            members.setdefault(uuid, f"results:{root}:descendants:{uuid}")
        return Family(root, list(members.items()), bool(known))

    def _complete(self, family: Family, outcomes: Sequence[Outcome], *, raising: bool = False) -> list[Found] | None:
        """Give the results if that is all one may wait for."""
        found = [
            Found(uuid, *self.deserialize(outcome.text))
            for (uuid, _), outcome in zip(family.members, outcomes, strict=True)
            if outcome.text is not None
        ]
        if len(found) == len(outcomes) if family.all_wanted else found:
            return sorted(found, key=lambda one: one.timestamp)
        if raising:
            for (uuid, _), outcome in zip(family.members, outcomes, strict=True):
                if outcome.hopeless and (family.all_wanted or uuid == family.members[0][0]):
                    raise _failure(uuid, outcome)
        return None

    def _told(
        self, messages: Sequence[Message], members: Sequence[tuple[str, str]], outcomes: Sequence[Outcome]
    ) -> Iterator[tuple[Message, Any]]:
        """Give what is known of the results of many messages: each result, or why there is none."""
        for message, member, outcome in zip(messages, members, outcomes, strict=True):
            try:
                found = self._complete(Family(member[0], [member], True), [outcome], raising=True)
            except TaskFailedError as error:
                yield message, error
            else:
                if found is not None:
                    yield message, found[0].result

    def _channels(self, family: Family) -> list[str]:
        if not isinstance(self.backend, RedisBackend):
            return [uuid for uuid, _ in family.members]
        keys = self.backend.keys
        channels = [keys.done_channel(uuid) for uuid, _ in family.members]
        return channels if family.all_wanted else [*channels, keys.kids(family.root)]


class Family(NamedTuple):
    """The results that one question is about: uuid and name of each, the message's own first."""

    root: str
    members: list[tuple[str, str]]
    all_wanted: bool


class Found(NamedTuple):
    """A result that is there."""

    uuid: str
    result: Any
    timestamp: int


def shown(found: Found, with_metadata: bool) -> Any:
    """Give a result as its caller wants it."""
    if with_metadata:
        return {"result": found.result, "timestamp": found.timestamp, "uuid": found.uuid}
    return found.result


def _failure(uuid: str, outcome: Outcome) -> TaskFailedError:
    details = open_error(outcome.error)
    what = "" if details is None else f": {details.name}: {details.text}"
    return TaskFailedError(f"message {uuid} ended without a result{what}", uuid=uuid, exception_details=details)


def _ttl(message: Message) -> int:
    return DEFAULT_RESULT_RETENTION_MS if message.result_ttl is None else message.result_ttl
