"""Results for programs on asyncio: the store that waits without a thread, however many wait at a time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

from alsek.defaults import MAX_RESULT_BYTES
from alsek.exceptions import TaskFailedError
from alsek.storage.backends.redis.asyncio import AsyncRedisBackend
from alsek.storage.backends.redis.results import AsyncResults
from alsek.storage.backends.redis.standard import RedisBackend
from alsek.storage.result_form import Family, Found, ResultForm, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from alsek.core.message import Message
    from alsek.storage.backends.abstract import BaseBackend
    from alsek.storage.backends.redis.async_subscriber import AsyncSubscription
    from alsek.storage.backends.redis.values import Outcome, TakeVerb
    from alsek.storage.result import ResultStore


class AsyncResultStore(ResultForm):
    """The twin of `ResultStore` for asyncio: it sees the same results. Tasks need the other one.

    Answers are pushed over one connection that all who wait in an event loop share. Usable in any number of loops.

    Args:
        backend: Where the results lie: an `AsyncRedisBackend`, a `RedisBackend`, or an address of Redis.
        max_result_bytes: Largest serialised result that `set` accepts.

    Raises:
        NotImplementedError: It is another backend.
    """

    backend: RedisBackend

    def __init__(self, backend: BaseBackend | str | None = None, max_result_bytes: int = MAX_RESULT_BYTES) -> None:
        if backend is None or isinstance(backend, str):
            backend = RedisBackend(backend)
        elif isinstance(backend, AsyncRedisBackend):
            backend = backend.blocking_twin()
        if not isinstance(backend, RedisBackend):
            raise NotImplementedError(f"results are awaited in Redis, not in a {type(backend).__name__}")
        super().__init__(backend, max_result_bytes)

    @classmethod
    def of(cls, store: ResultStore) -> Self:
        """Make the twin of a `ResultStore`.

        Raises:
            NotImplementedError: It keeps its results elsewhere than in Redis.
        """
        return cls(store.backend, store.max_result_bytes)

    async def set(self, message: Message, result: Any, nx: bool = True) -> None:
        """Store a result, and tell those who wait for it; see `ResultStore.set`."""
        # Of a descendant in another partition, its progenitor is told first, which blocks.
        form = await asyncio.to_thread(self.wire, message, result)
        if not await self._results.put(message.uuid, form, nx=nx):
            raise KeyError(f"{message.summary} has a result already")

    async def exists(self, message: Message, descendants: bool = False) -> bool:
        """Tell whether there is a result; see `ResultStore.exists`."""
        family = await self._family(message, descendants)
        there = [outcome.text is not None for outcome in await self._results.look(family.members)]
        return all(there) if family.all_wanted else any(there)

    async def get(
        self,
        message: Message,
        timeout: int = 0,
        keep: bool = False,
        with_metadata: bool = False,
        descendants: bool = False,
    ) -> Any:
        """Fetch a result, and delete it in the same step; parameters and errors are those of `ResultStore.get`.

        Cancelled while it waits, it has fetched nothing, unless the cancellation meets the last round trip.
        """
        if timeout <= 0:
            family = await self._family(message, descendants)
            results = self._complete(family, await self._fetch(family, keep=keep))
            if results is None:
                raise KeyError(f"{message.summary} has no result")
        else:
            results = await self._wait(message, timeout, keep, descendants)
        told = [shown(found, with_metadata) for found in results]
        return told if descendants else told[0]

    async def delete(self, message: Message, descendants: bool = True, missing_ok: bool = False) -> int:
        """Delete results without fetching them; see `ResultStore.delete`."""
        family = await self._family(message, descendants)
        outcomes = await self._delete(family, "drop", whole=family.all_wanted and not missing_ok)
        count = sum(outcome.text is not None for outcome in outcomes)
        if not missing_ok and (count == 0 or (family.all_wanted and count < len(outcomes))):
            raise KeyError(f"{message.summary}: {len(outcomes) - count} of {len(outcomes)} results are missing")
        return count

    # For those who wait for many.

    async def settled(
        self, messages: Sequence[Message], descendants: bool = False
    ) -> list[tuple[Message, TaskFailedError | None]]:
        """Look for results and leave them there; see `ResultStore.settled`."""
        families = [await self._family(message, descendants) for message in messages]
        outcomes = iter(await self._results.look([member for family in families for member in family.members]))
        told: list[tuple[Message, TaskFailedError | None]] = []
        for message, family in zip(messages, families, strict=True):
            own = [next(outcomes) for _ in family.members]
            try:
                if self._complete(family, own, raising=True) is not None:
                    told.append((message, None))
            except TaskFailedError as error:
                told.append((message, error))
        return told

    async def collect(self, messages: Sequence[Message]) -> AsyncIterator[tuple[Message, Any]]:
        """Fetch the results that are there, and delete them in the same step; see `ResultStore.collect`."""
        members = [(message.uuid, self.get_storage_name(message)) for message in messages]
        outcomes = await self._results.delete(members, "take", members[0][0], whole=False)
        for told in self._told(messages, members, outcomes):
            yield told

    async def channels(self, message: Message, descendants: bool = False) -> list[str]:
        """Give the pub/sub channels that tell when to look for a message's result."""
        return self._channels(await self._family(message, descendants))

    def watch(self, channels: Iterable[str]) -> AsyncSubscription:
        """Be told when to look; use it in an `async with` block."""
        return self.backend.async_subscriber.open(channels)

    @property
    def _results(self) -> AsyncResults:
        return AsyncResults(self.backend.keys, self.backend.async_link)

    async def _family(self, message: Message, descendants: bool) -> Family:
        known: list[str] = []
        if descendants and not message.descendant_uuids:
            known = await self._results.descendants(message.progenitor_uuid or message.uuid)
        return self._family_of(message, descendants, lambda _: known)

    async def _wait(self, message: Message, timeout: int, keep: bool, descendants: bool) -> list[Found]:
        deadline = time.monotonic() + timeout / 1000
        family = await self._family(message, descendants)
        async with self.watch(self._channels(family)) as subscription:
            while True:
                event = await subscription.next(deadline)
                family = await self._family(message, descendants)
                # Descendants may turn up that nobody named before; the event that says so has been told, or will be.
                subscription.add(self._channels(family))
                results = self._complete(family, await self._fetch(family, keep=keep), raising=True)
                if results is not None:
                    return results
                if event is None:
                    raise TimeoutError(f"{message.summary} had no result within {timeout:,} ms")

    async def _fetch(self, family: Family, *, keep: bool) -> list[Outcome]:
        if keep:
            return await self._results.look(family.members)
        return await self._delete(family, "take", whole=family.all_wanted)

    async def _delete(self, family: Family, verb: TakeVerb, *, whole: bool) -> list[Outcome]:
        return await self._results.delete(family.members, verb, family.root, whole=whole)
