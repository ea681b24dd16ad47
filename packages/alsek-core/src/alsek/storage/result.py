"""Where the results of tasks are kept until somebody fetches them, and how one waits for them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from alsek.defaults import MAX_RESULT_BYTES
from alsek.exceptions import TaskFailedError
from alsek.storage.backends.own_results import Looks, OwnResults
from alsek.storage.backends.redis.results import Results
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.storage.result_form import Family, Found, ResultForm, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import Backend
    from alsek.storage.backends.redis.subscriber import Subscription
    from alsek.storage.backends.redis.values import Outcome, TakeVerb


class ResultStore(ResultForm):
    """Keeps results. Fetching one deletes it, unless it is kept on purpose.

    A result is found by the message it belongs to: its uuid, and its `progenitor_uuid` if it has one. Safe for threads;
    usable in any of them.

    Args:
        backend: Where the results lie. In a backend of one's own they are looked for again and again, and a message
            that failed is not told from one that still runs.
        max_result_bytes: Largest serialised result accepted; a task that returns more fails.

    Raises:
        NotImplementedError: The backend is an asynchronous one.
    """

    def __init__(self, backend: Backend, max_result_bytes: int = MAX_RESULT_BYTES) -> None:
        if backend.IS_ASYNC:
            raise NotImplementedError(f"results need a synchronous backend, not a {type(backend).__name__}")
        super().__init__(backend, max_result_bytes)

    def set(self, message: Message, result: Any, nx: bool = True) -> None:
        """Store a result, and tell those who wait for it. It is kept for `message.result_ttl`, or seven days.

        Args:
            message: Whose result it is.
            result: Anything the serializer can hold.
            nx: Only if there is none.

        Raises:
            KeyError: `nx`, and there is one.
            SerializationError: The serializer cannot hold it.
            PayloadTooLargeError: It takes more than `max_result_bytes`.
        """
        if not self._results.put(message.uuid, self.wire(message, result), nx=nx):
            raise KeyError(f"{message.summary} has a result already")

    def exists(self, message: Message, descendants: bool = False) -> bool:
        """Tell whether there is a result.

        Args:
            message: Whose.
            descendants: Those of its callbacks too: all of them, or any if the message does not name them.
        """
        family = self._family(message, descendants)
        there = [outcome.text is not None for outcome in self._results.look(family.members)]
        return all(there) if family.all_wanted else any(there)

    def get(
        self,
        message: Message,
        timeout: int = 0,
        keep: bool = False,
        with_metadata: bool = False,
        descendants: bool = False,
    ) -> Any:
        """Fetch a result, and delete it in the same step.

        Args:
            message: Whose.
            timeout: ms to wait for it; 0: not at all.
            keep: Leave it there.
            with_metadata: Give `{"result", "timestamp", "uuid"}` instead.
            descendants: Give a list, ordered by the time of writing: the message's own result and those of its
                callbacks. When the message names its callbacks (it carries them), all have to be there; else it is
                whatever is there so far.

        Raises:
            KeyError: There is none, and `timeout` is 0.
            TimeoutError: There was none in time.
            TaskFailedError: While waiting: the task failed for good, was revoked or expired, so there will be none.
            BackendUnavailableError: Redis did not answer. With `ambiguous` the result may be deleted already: who
                cannot afford that fetches with `keep=True`, and deletes afterwards.
        """
        if timeout <= 0:
            family = self._family(message, descendants)
            outcomes = (
                self._results.look(family.members) if keep else self._delete(family, "take", whole=family.all_wanted)
            )
            results = self._complete(family, outcomes)
            if results is None:
                raise KeyError(f"{message.summary} has no result")
        else:
            results = self._wait(message, timeout, keep, descendants)
        told = [shown(found, with_metadata) for found in results]
        return told if descendants else told[0]

    def delete(self, message: Message, descendants: bool = True, missing_ok: bool = False) -> int:
        """Delete results without fetching them.

        Args:
            message: Whose.
            descendants: Those of its callbacks too.
            missing_ok: Delete what is there. Otherwise it is all or nothing.

        Returns:
            How many were deleted.

        Raises:
            KeyError: One is missing, and that is not ok.
        """
        family = self._family(message, descendants)
        outcomes = self._delete(family, "drop", whole=family.all_wanted and not missing_ok)
        count = sum(outcome.text is not None for outcome in outcomes)
        if not missing_ok and (count == 0 or (family.all_wanted and count < len(outcomes))):
            raise KeyError(f"{message.summary}: {len(outcomes) - count} of {len(outcomes)} results are missing")
        return count

    # For those who wait for many, and for the engine.

    def channels(self, message: Message, descendants: bool = False) -> list[str]:
        """Give the pub/sub channels that tell when to look for a message's result."""
        return self._channels(self._family(message, descendants))

    def settled(
        self, messages: Sequence[Message], descendants: bool = False
    ) -> Iterator[tuple[Message, TaskFailedError | None]]:
        """Look for results in a few round trips and leave them there.

        Yields:
            Each message whose result can be fetched now, and with an error each that will never have one.
        """
        families = [self._family(message, descendants) for message in messages]
        outcomes = iter(self._results.look([member for family in families for member in family.members]))
        for message, family in zip(messages, families, strict=True):
            own = [next(outcomes) for _ in family.members]
            try:
                if self._complete(family, own, raising=True) is not None:
                    yield message, None
            except TaskFailedError as error:
                yield message, error

    def is_engine_native(self, backend: Backend) -> bool:
        """Tell whether an ack on a backend may store results itself: same place, and nothing overridden."""
        cls = type(self)
        return (
            cls.set is ResultStore.set
            and cls.serialize is ResultStore.serialize
            and cls.get_storage_name is ResultStore.get_storage_name
            and isinstance(self.backend, RedisBackend)
            and self.backend.same_store(backend)
        )

    def collect(self, messages: Sequence[Message]) -> Iterator[tuple[Message, Any]]:
        """Fetch the results that are there, and delete them in the same step; a few round trips for all.

        Yields:
            Message and result; a `TaskFailedError` stands in the place of a result that there will never be.
        """
        members = [(message.uuid, self.get_storage_name(message)) for message in messages]
        yield from self._told(messages, members, self._results.delete(members, "take", members[0][0], whole=False))

    def watch(self, channels: Iterable[str]) -> Subscription | Looks:
        """Be told when to look; use it in a `with` block."""
        if isinstance(self.backend, RedisBackend):
            return self.backend.subscriber.open(channels)
        return Looks()

    @property
    def _results(self) -> Results | OwnResults:
        if isinstance(self.backend, RedisBackend):
            return Results(self.backend.keys, self.backend.links)
        return OwnResults(self.backend)

    def _family(self, message: Message, descendants: bool) -> Family:
        return self._family_of(message, descendants, self._results.descendants)

    # Getting at them.

    def _wait(self, message: Message, timeout: int, keep: bool, descendants: bool) -> list[Found]:
        deadline = time.monotonic() + timeout / 1000
        family = self._family(message, descendants)
        while True:
            watched = self._channels(family)
            with self.watch(watched) as subscription:
                # As long as no descendant turns up that nobody named before.
                while self._channels(family) == watched:
                    event = subscription.next(deadline)
                    family = self._family(message, descendants)
                    if keep:
                        outcomes = self._results.look(family.members)
                    else:
                        outcomes = self._delete(family, "take", whole=family.all_wanted)
                    results = self._complete(family, outcomes, raising=True)
                    if results is not None:
                        return results
                    if event is None:
                        raise TimeoutError(f"{message.summary} had no result within {timeout:,} ms")

    def _delete(self, family: Family, verb: TakeVerb, *, whole: bool) -> list[Outcome]:
        return self._results.delete(family.members, verb, family.root, whole=whole)
