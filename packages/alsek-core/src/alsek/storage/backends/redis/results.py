"""Reads and deletes results in as few round trips as their partitions allow, and never loses one to a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from alsek.exceptions import AlsekError, BackendUnavailableError
from alsek.storage.backends.redis.values import (
    MOST_RESULTS_IN_A_CALL,
    Outcome,
    TakeVerb,
    note_descendant,
    put_result,
    read_results,
    take_results,
)

if TYPE_CHECKING:
    from alsek.storage.backends.redis.async_link import AsyncRoute
    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.link_pool import LinkPool
    from alsek.storage.backends.redis.verbs import StoredResult
    from alsek.storage.keys import Keys

#: How long what can be repeated rides out an unreachable Redis, seconds.
_PATIENCE_S: Final = 5.0

T = TypeVar("T")

#: Uuid of a message, and key of its result behind the tag.
Member = tuple[str, str]


class Wish(NamedTuple):
    """Calls to be run in one write; the answer is the list of their replies."""

    calls: Sequence[Call]
    patience: float = 0.0


class Command(tuple[str, ...]):
    """A plain command; the answer is its reply."""

    __slots__ = ()


Steps = Generator[Wish | Command, Any, T]


class ResultSteps:
    """What is done with the results of one namespace, without the doing: who runs the steps speaks to Redis.

    Each step is a wish that is yielded, and sent its reply, or thrown its error.

    Args:
        keys: Names of the keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def put(self, uuid: str, result: StoredResult, *, nx: bool) -> Steps[bool]:
        """Store a result, and tell who waits for it; `False` if there is one already and `nx`."""
        call = put_result(self._keys.tag_of(uuid), uuid, *result, nx=nx)
        (done,) = yield Wish([call], _PATIENCE_S)
        return bool(done)

    def look(self, members: Sequence[Member]) -> Steps[list[Outcome]]:
        """Read results and leave them there."""
        calls: list[Call] = []
        places: list[list[int]] = []
        for partition, positions in self._by_partition(members).items():
            for start in range(0, len(positions), MOST_RESULTS_IN_A_CALL):
                chunk = positions[start : start + MOST_RESULTS_IN_A_CALL]
                calls.append(take_results(self._keys.tag(partition), [members[i] for i in chunk], "look"))
                places.append(chunk)
        outcomes: dict[int, Outcome] = {}
        replies = yield Wish(calls, _PATIENCE_S)
        for chunk, reply in zip(places, replies, strict=True):
            outcomes.update(zip(chunk, read_results(reply), strict=True))
        return [outcomes[i] for i in range(len(members))]

    def delete(self, members: Sequence[Member], verb: TakeVerb, root: str, *, whole: bool) -> Steps[list[Outcome]]:
        """Read results and delete them in the same step (one step for each partition).

        Args:
            members: Which.
            verb: `take`, or `drop` for those that nobody wants to read.
            root: The progenitor whose index they stand in.
            whole: All of them or none.
        """
        groups = self._by_partition(members)
        if len(groups) > 1 and whole:
            looked = yield from self.look(members)
            if any(outcome.text is None for outcome in looked):
                return looked
        outcomes: dict[int, Outcome] = {}
        kids = self._keys.kids(root)
        for partition, positions in groups.items():
            tag = self._keys.tag(partition)
            call = take_results(
                tag,
                [members[i] for i in positions],
                verb,
                whole=whole,
                kids_key=kids.removeprefix(tag) if kids.startswith(tag) else "",
            )
            found = yield from self._delete_once(call)
            outcomes.update(zip(positions, found, strict=True))
            if not kids.startswith(tag) and any(outcome.text is not None for outcome in found):
                yield Command(("ZREM", kids, *(members[i][0] for i in positions)))
        return [outcomes[i] for i in range(len(members))]

    def descendants(self, root: str) -> Steps[list[str]]:
        """Give the uuids of a progenitor's descendants that stored a result."""
        found: list[bytes] = yield Command(("ZRANGE", self._keys.kids(root), "0", "-1"))
        return [uuid.decode() for uuid in found]

    def note_descendant(self, root: str, uuid: str, now_ms: int, ttl_ms: int) -> Steps[None]:
        """Put a descendant into the index ahead of its result: who reads the index skips what is not there yet."""
        yield Wish([note_descendant(self._keys.kids(root), uuid, now_ms, ttl_ms)], _PATIENCE_S)

    def _delete_once(self, call: Call) -> Steps[list[Outcome]]:
        """Run a deleting call; repeat it after a lost reply only as long as nothing can have gone with that reply."""
        try:
            (reply,) = yield Wish([call])
        except BackendUnavailableError as error:
            look = call._replace(args=["look", *call.args[1:]])
            (reply,) = yield Wish([look], _PATIENCE_S)
            looked = read_results(reply)
            if error.ambiguous and any(one.text is None and one.state in ("", "S") for one in looked):
                raise
            (reply,) = yield Wish([call])
        return read_results(reply)

    def _by_partition(self, members: Sequence[Member]) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for i, (uuid, _) in enumerate(members):
            groups.setdefault(self._keys.partition(uuid), []).append(i)
        return groups


class Results:
    """The results of one namespace, for who may block; each method is one of `ResultSteps`.

    Args:
        keys: Names of the keys.
        links: Run the calls.
    """

    def __init__(self, keys: Keys, links: LinkPool) -> None:
        self._steps = ResultSteps(keys)
        self._links = links

    def put(self, uuid: str, result: StoredResult, *, nx: bool) -> bool:
        """Store a result; see `ResultSteps.put`."""
        return self._run(self._steps.put(uuid, result, nx=nx))

    def look(self, members: Sequence[Member]) -> list[Outcome]:
        """Read results and leave them there."""
        return self._run(self._steps.look(members))

    def delete(self, members: Sequence[Member], verb: TakeVerb, root: str, *, whole: bool) -> list[Outcome]:
        """Read results and delete them; see `ResultSteps.delete`."""
        return self._run(self._steps.delete(members, verb, root, whole=whole))

    def descendants(self, root: str) -> list[str]:
        """Give the uuids of a progenitor's descendants that stored a result."""
        return self._run(self._steps.descendants(root))

    def note_descendant(self, root: str, uuid: str, now_ms: int, ttl_ms: int) -> None:
        """Put a descendant into the index; see `ResultSteps.note_descendant`."""
        self._run(self._steps.note_descendant(root, uuid, now_ms, ttl_ms))

    def _run(self, steps: Steps[T]) -> T:
        try:
            wish = next(steps)
            while True:
                try:
                    if isinstance(wish, Wish):
                        answer: Any = self._links.execute(wish.calls, patience=wish.patience)
                    else:
                        answer = self._links.command(*wish)
                except AlsekError as error:
                    wish = steps.throw(error)
                else:
                    wish = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


class AsyncResults:
    """The same without blocking the event loop.

    Args:
        keys: Names of the keys.
        link: Runs the calls.
    """

    def __init__(self, keys: Keys, link: AsyncRoute) -> None:
        self._steps = ResultSteps(keys)
        self._link = link

    async def put(self, uuid: str, result: StoredResult, *, nx: bool) -> bool:
        """Store a result; see `ResultSteps.put`."""
        return await self._run(self._steps.put(uuid, result, nx=nx))

    async def look(self, members: Sequence[Member]) -> list[Outcome]:
        """Read results and leave them there."""
        return await self._run(self._steps.look(members))

    async def delete(self, members: Sequence[Member], verb: TakeVerb, root: str, *, whole: bool) -> list[Outcome]:
        """Read results and delete them; see `ResultSteps.delete`."""
        return await self._run(self._steps.delete(members, verb, root, whole=whole))

    async def descendants(self, root: str) -> list[str]:
        """Give the uuids of a progenitor's descendants that stored a result."""
        return await self._run(self._steps.descendants(root))

    async def _run(self, steps: Steps[T]) -> T:
        try:
            wish = next(steps)
            while True:
                try:
                    if isinstance(wish, Wish):
                        runs = [self._link.execute(call, patience=wish.patience) for call in wish.calls]
                        answer: Any = await asyncio.gather(*runs) if len(runs) > 1 else [await runs[0]]
                    else:
                        answer = await self._link.command(*wish)
                except AlsekError as error:
                    wish = steps.throw(error)
                else:
                    wish = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
