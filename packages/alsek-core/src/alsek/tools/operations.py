"""What operators do to queues and messages: verbs of the engine, carried out one by one or in batches.

Whoever looks first finds a state; each verb looks again by itself, so nothing is done to what has changed since.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import msgspec

from alsek.core.bulk import PATIENCE_S
from alsek.storage.backends.redis.operator_verbs import OperatorVerbs
from alsek.storage.backends.redis.scripts import Code
from alsek.tools.facts import Pause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.broker import Broker
    from alsek.storage.backends.redis.link import Call
    from alsek.tools.facts import MessageInfo

#: Longest reason kept of a pause, characters.
_LONGEST_REASON: Final = 500


class Operations:
    """Carries out operators' wishes.

    Args:
        broker: Whose queues.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def pause(self, queue: str, reason: str, by: str) -> bool:
        """Pause a queue in all partitions; whether it was not paused everywhere before."""
        note = msgspec.json.encode([" ".join(reason.split())[:_LONGEST_REASON], by]).decode()
        token = os.urandom(8).hex()
        verbs, partitions = self._verbs, range(self._broker.keys.partitions)
        return any(self._run([verbs.pause(partition, queue, token, note) for partition in partitions]))

    def resume(self, queue: str) -> bool:
        """Resume a queue in all partitions; whether it was paused in any."""
        verbs, partitions = self._verbs, range(self._broker.keys.partitions)
        return any(self._run([verbs.resume(partition, queue) for partition in partitions]))

    def revoke(self, info: MessageInfo) -> Code:
        """End a message that waits or runs."""
        return self._one(self._broker.verbs.revoke(self._partition(info), info.queue, info.uuid))

    def reprioritize(self, info: MessageInfo, priority: int) -> Code:
        """Give a waiting message another priority."""
        return self._one(self._verbs.reprioritize(self._partition(info), info.queue, info.uuid, priority))

    def run_now(self, info: MessageInfo) -> Code:
        """Make a delayed message ready."""
        return self._one(self._verbs.run_now(self._partition(info), info.queue, info.uuid))

    def replay(self, queue: str, letters: Sequence[MessageInfo]) -> list[Code]:
        """Give dead letters a new life; a code for each."""
        verbs = self._broker.verbs
        return self._run([verbs.replay(self._partition(info), queue, info.uuid) for info in letters])

    def purge(self, queue: str, letters: Sequence[MessageInfo]) -> list[Code]:
        """Delete dead letters, unless they died anew since they were seen; a code for each."""
        groups: dict[int, list[int]] = {}
        for position, info in enumerate(letters):
            groups.setdefault(self._partition(info), []).append(position)
        calls = [
            self._verbs.purge(partition, queue, [(letters[i].uuid, letters[i].ended_at or "") for i in members])
            for partition, members in groups.items()
        ]
        codes = [Code.MISSING] * len(letters)
        replies = self._broker.redis.links.execute(calls, patience=PATIENCE_S) if calls else []
        for members, reply in zip(groups.values(), replies, strict=True):
            for position, code in zip(members, reply, strict=True):
                codes[position] = Code(code)
        return codes

    @property
    def _verbs(self) -> OperatorVerbs:
        return OperatorVerbs(self._broker.keys, self._broker.verbs.policy)

    def _partition(self, info: MessageInfo) -> int:
        partition: int = self._broker.keys.partition(info.uuid)
        return partition

    def _one(self, call: Call) -> Code:
        return self._run([call])[0]

    def _run(self, calls: Sequence[Call]) -> list[Code]:
        if not calls:
            return []
        return [Code(code) for code in self._broker.redis.links.execute(calls, patience=PATIENCE_S)]


def open_pause(stored: bytes | None) -> Pause | None:
    """Read what a partition remembers of a pause."""
    if stored is None:
        return None
    since, _, rest = stored.partition(b" ")
    try:
        reason, by = msgspec.json.decode(rest.partition(b" ")[2], type=tuple[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        reason, by = stored.decode(errors="replace"), ""
    return Pause(reason, int(since) if since.isdigit() else 0, by)
