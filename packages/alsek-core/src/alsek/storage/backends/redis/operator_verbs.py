"""The verbs of those who operate the queues: what no worker and no producer ever calls.

They stand beside `Verbs`, for the same keys and the same policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.storage.backends.redis.link import Argument, Call
from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alsek.storage.backends.redis.verbs import Policy
    from alsek.storage.keys import Keys


class OperatorVerbs:
    """The operator's verbs of one namespace.

    Args:
        keys: Names of the keys.
        policy: Of the broker.
    """

    def __init__(self, keys: Keys, policy: Policy) -> None:
        self.keys = keys
        self.policy = policy

    def pause(self, partition: int, queue: str, token: str, note: str) -> Call:
        """Pause a queue in one partition. Reply: a code."""
        return Call(script("pause"), self._keys(partition, queue), (token, note, "0"), again=2)

    def resume(self, partition: int, queue: str) -> Call:
        """Let a queue of one partition go on. Reply: a code."""
        return Call(script("resume"), self._keys(partition, queue), ("0",), again=0)

    def reprioritize(self, partition: int, queue: str, uuid: str, priority: int) -> Call:
        """Give a waiting message another priority. Reply: a code."""
        return Call(script("reprioritize"), self._keys(partition, queue), (uuid, priority, self.policy.weight))

    def run_now(self, partition: int, queue: str, uuid: str) -> Call:
        """Make a delayed message ready. Reply: a code."""
        return Call(script("run_now"), self._keys(partition, queue), (uuid, self.policy.weight))

    def purge(self, partition: int, queue: str, letters: Iterable[tuple[str, int | str]]) -> Call:
        """Delete dead letters, each given with the time of its death or "". Reply: a code for each."""
        args: list[Argument] = [part for letter in letters for part in letter]
        return Call(script("purge"), self._keys(partition, queue), args)

    def _keys(self, partition: int, queue: str) -> list[str]:
        return [self.keys.tag(partition), *self.keys.of_queue(queue, partition)]
