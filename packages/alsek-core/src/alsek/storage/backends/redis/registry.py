"""Where workers say who they are and what they do, for those who look; nothing that delivers depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from alsek.storage.backends.redis.link import Argument, Call
from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alsek.storage.backends.redis.standard import RedisBackend

#: How long is remembered what a worker was and which tasks there are: as long as dead letters that tell of them.
KEPT_MS: Final = 604_800_000


class Beat(NamedTuple):
    """The last sign of life of a worker.

    Attributes:
        worker: Its id.
        at: When it came, ms since the epoch, on Redis' clock.
        text: What it said of this moment.
        about: What it said of itself; empty when that is lost.
    """

    worker: str
    at: int
    text: bytes
    about: bytes


class Registry:
    """The workers and tasks of one namespace.

    Args:
        backend: Whose keys.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._keys = backend.keys.of_registry()

    def beat(
        self, worker: str, ttl_ms: int, text: bytes, about: bytes = b"", tasks: Mapping[str, bytes] | None = None
    ) -> bool:
        """Note that a worker lives.

        Args:
            worker: Its id.
            ttl_ms: Without another beat it counts as gone then.
            text: What it does now.
            about: Who it is; told once, and again when asked for.
            tasks: Descriptions by name; only together with `about`.

        Returns:
            Whether it is known who it is; otherwise `about` has to be told.

        Raises:
            AlsekError: Redis did not answer, or refused.
        """
        args: list[Argument] = [worker, ttl_ms, KEPT_MS, text, about]
        for name, description in (tasks or {}).items():
            args += (name, description)
        return bool(self._backend.links.execute([Call(script("registry_beat"), self._keys, args)])[0])

    def leave(self, worker: str) -> None:
        """Note that a worker has ended; who it was stays known."""
        args = (worker, 0, KEPT_MS, "", "")
        self._backend.links.execute([Call(script("registry_beat"), self._keys, args)])

    def workers(self, now_ms: int) -> list[Beat]:
        """Give the workers that live, by id."""
        workers, beats, about, *_ = self._keys
        ids = sorted(self._ask("ZRANGEBYSCORE", workers, now_ms, "+inf"))
        if not ids:
            return []
        found = []
        for worker, stored, known in zip(
            ids, self._ask("HMGET", beats, *ids), self._ask("HMGET", about, *ids), strict=True
        ):
            at, _, text = (stored or b"").partition(b" ")
            if at.isdigit():
                found.append(Beat(worker.decode(errors="replace"), int(at), text, known or b""))
        return found

    def about(self, workers: Iterable[str]) -> dict[str, bytes]:
        """Give what is remembered of workers, those that are gone included."""
        ids = sorted(set(workers))
        known = self._ask("HMGET", self._keys[2], *ids) if ids else []
        return {worker: text for worker, text in zip(ids, known, strict=True) if text}

    def ever(self) -> bool:
        """Tell whether any worker said who it is, as far as is remembered."""
        return bool(self._ask("HLEN", self._keys[2]))

    def tasks(self, now_ms: int) -> dict[str, bytes]:
        """Give the descriptions of all tasks, by name."""
        names = sorted(self._ask("ZRANGEBYSCORE", self._keys[5], now_ms, "+inf"))
        texts = self._ask("HMGET", self._keys[4], *names) if names else []
        return {name.decode(errors="replace"): text for name, text in zip(names, texts, strict=True) if text}

    def _ask(self, *command: Argument) -> list[bytes]:
        answer: list[bytes] = self._backend.links.command(*command)
        return answer
