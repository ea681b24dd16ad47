"""Builds the calls that submit: one for a usual message that comes alone, another for all the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.storage.backends.redis.link import Argument, Call
from alsek.storage.backends.redis.scripts import script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.storage.backends.redis.verbs import NewMessage, Verbs


def submit(verbs: Verbs, partition: int, queue: str, messages: Sequence[NewMessage], *, again: bool) -> Call:
    """Store new messages of one queue. Reply: a code for each."""
    keys = [verbs.keys.tag(partition), *verbs.keys.of_queue(queue, partition)]
    repeats = "1" if again else "0"
    if len(messages) == 1:
        ((uuid, task_name, body, priority, delay_ms, ttl_ms, kept_status_ms),) = messages
        if priority == 0 and delay_ms == 0 and kept_status_ms == "":
            tag, ready, _, _, _, wake = keys
            return Call(script("submit_one"), (tag, ready, wake), (repeats, uuid, task_name, body, ttl_ms, queue), 0)
    args: list[Argument] = [verbs.policy.weight, repeats, verbs.statuses["SUBMITTED"]]
    for message in messages:
        args += message
    return Call(script("submit"), keys, args, again=1)
