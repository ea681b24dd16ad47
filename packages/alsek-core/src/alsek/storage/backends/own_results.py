"""Results in a backend of the user's own: it has names and values only, so waiting means to look again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from alsek.storage.backends.redis.subscriber import Event
from alsek.storage.backends.redis.values import Outcome, TakeVerb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from alsek.storage.backends.abstract import Backend
    from alsek.storage.backends.redis.results import Member
    from alsek.storage.backends.redis.verbs import StoredResult

#: Pause between two looks, seconds.
_LOOK_S: Final = 0.1


class OwnResults:
    """Does for any backend what `Results` does for Redis, as atomically as that backend sets and deletes.

    Args:
        backend: Where the results lie.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def put(self, _uuid: str, result: StoredResult, *, nx: bool) -> bool:
        """Store a result; `False` if there is one already and `nx`."""
        text = result.text if isinstance(result.text, bytes) else result.text.encode()
        # As a text, whatever it is: the backend's serializer holds texts for certain.
        stored = f"{time.time_ns() // 1_000_000}:{text.decode('latin-1')}"
        try:
            self._backend.set(result.key, stored, nx=nx, ttl=result.ttl_ms)
        except KeyError:
            return False
        return True

    def look(self, members: Sequence[Member]) -> list[Outcome]:
        """Read results and leave them there."""
        texts = [self._backend.get(name) for _, name in members]
        return [Outcome(None if text is None else text.encode("latin-1")) for text in texts]

    def delete(self, members: Sequence[Member], _verb: TakeVerb, _root: str, *, whole: bool) -> list[Outcome]:
        """Read results and delete them; with `whole` all of them or none. Of two readers one gets each."""
        outcomes = self.look(members)
        if whole and any(outcome.text is None for outcome in outcomes):
            return outcomes
        return [
            outcome if outcome.text is None or self._deleted(name) else Outcome(None)
            for (_, name), outcome in zip(members, outcomes, strict=True)
        ]

    def descendants(self, root: str) -> list[str]:
        """Give the uuids of a progenitor's descendants that stored a result."""
        prefix = f"results:{root}:descendants:"
        return [name.removeprefix(prefix) for name in self._backend.scan(f"{prefix}*")]

    def _deleted(self, name: str) -> bool:
        try:
            self._backend.delete(name)
        except KeyError:
            return False
        return True


class Looks:
    """Stands for a subscription where nothing is pushed."""

    def __init__(self) -> None:
        self._first = True

    def next(self, deadline: float | None = None) -> Event | None:
        """Give an event at once, and then one after each pause; `None` when the deadline (monotonic) passed."""
        left = _LOOK_S if deadline is None else min(_LOOK_S, deadline - time.monotonic())
        if self._first:
            self._first = False
        elif left <= 0:
            return None
        else:
            time.sleep(left)
        return Event(None)

    def add(self, _channels: Iterable[str]) -> None:
        """Look at once."""
        self._first = True

    def drop(self, _channels: Iterable[str]) -> None:
        """There is nothing to leave."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        """There is nothing to close."""
