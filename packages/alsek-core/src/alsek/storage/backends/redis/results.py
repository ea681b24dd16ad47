"""Reads and deletes results in as few round trips as their partitions allow, and never loses one to a repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from alsek.exceptions import BackendUnavailableError
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
    from collections.abc import Sequence

    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.link_pool import LinkPool
    from alsek.storage.backends.redis.verbs import StoredResult
    from alsek.storage.keys import Keys

#: How long what can be repeated rides out an unreachable Redis, seconds.
_PATIENCE_S: Final = 5.0

#: Uuid of a message, and key of its result behind the tag.
Member = tuple[str, str]


class Results:
    """The results of one namespace.

    Args:
        keys: Names of the keys.
        links: Run the calls.
    """

    def __init__(self, keys: Keys, links: LinkPool) -> None:
        self._keys = keys
        self._links = links

    def put(self, uuid: str, result: StoredResult, *, nx: bool) -> bool:
        """Store a result, and tell who waits for it; `False` if there is one already and `nx`."""
        call = put_result(self._keys.tag_of(uuid), uuid, *result, nx=nx)
        return bool(self._execute([call], patience=_PATIENCE_S)[0])

    def look(self, members: Sequence[Member]) -> list[Outcome]:
        """Read results and leave them there."""
        calls: list[Call] = []
        places: list[list[int]] = []
        for partition, positions in self._by_partition(members).items():
            for start in range(0, len(positions), MOST_RESULTS_IN_A_CALL):
                chunk = positions[start : start + MOST_RESULTS_IN_A_CALL]
                calls.append(take_results(self._keys.tag(partition), [members[i] for i in chunk], "look"))
                places.append(chunk)
        outcomes: dict[int, Outcome] = {}
        for chunk, reply in zip(places, self._execute(calls, patience=_PATIENCE_S), strict=True):
            outcomes.update(zip(chunk, read_results(reply), strict=True))
        return [outcomes[i] for i in range(len(members))]

    def delete(self, members: Sequence[Member], verb: TakeVerb, root: str, *, whole: bool) -> list[Outcome]:
        """Read results and delete them in the same step (one step for each partition).

        Args:
            members: Which.
            verb: `take`, or `drop` for those that nobody wants to read.
            root: The progenitor whose index they stand in.
            whole: All of them or none.
        """
        groups = self._by_partition(members)
        if len(groups) > 1 and whole:
            looked = self.look(members)
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
            found = self._delete_once(call)
            outcomes.update(zip(positions, found, strict=True))
            if not kids.startswith(tag) and any(outcome.text is not None for outcome in found):
                self._links.command("ZREM", kids, *(members[i][0] for i in positions))
        return [outcomes[i] for i in range(len(members))]

    def descendants(self, root: str) -> list[str]:
        """Give the uuids of a progenitor's descendants that stored a result."""
        found: list[bytes] = self._links.command("ZRANGE", self._keys.kids(root), "0", "-1")
        return [uuid.decode() for uuid in found]

    def note_descendant(self, root: str, uuid: str, now_ms: int, ttl_ms: int) -> None:
        """Put a descendant into the index ahead of its result: who reads the index skips what is not there yet."""
        self._execute([note_descendant(self._keys.kids(root), uuid, now_ms, ttl_ms)], patience=_PATIENCE_S)

    def _delete_once(self, call: Call) -> list[Outcome]:
        """Run a deleting call; repeat it after a lost reply only as long as nothing can have gone with that reply."""
        try:
            return read_results(self._execute([call])[0])
        except BackendUnavailableError as error:
            look = call._replace(args=["look", *call.args[1:]])
            looked = read_results(self._execute([look], patience=_PATIENCE_S)[0])
            if error.ambiguous and any(one.text is None and one.state in ("", "S") for one in looked):
                raise
            return read_results(self._execute([call])[0])

    def _by_partition(self, members: Sequence[Member]) -> dict[int, list[int]]:
        groups: dict[int, list[int]] = {}
        for i, (uuid, _) in enumerate(members):
            groups.setdefault(self._keys.partition(uuid), []).append(i)
        return groups

    def _execute(self, calls: Sequence[Call], patience: float = 0.0) -> list[Any]:
        return self._links.execute(calls, patience=patience)
