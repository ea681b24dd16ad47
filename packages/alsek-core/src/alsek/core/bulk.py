"""Many messages in a few round trips: batches by queue and partition, the next made while Redis stores the last."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from alsek.core.progress import pack_progress
from alsek.core.settlement import held_by
from alsek.core.status.types import StatusUpdate, TaskStatus
from alsek.exceptions import MessageAlreadyExistsError
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.unique_verbs import Unique, read_unique, submit_unique
from alsek.storage.backends.redis.verbs import MOST_IN_A_CALL, Held, NewMessage, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alsek.core.broker import Broker
    from alsek.core.message import Message
    from alsek.core.progress import Progress
    from alsek.storage.backends.redis.link import Call

#: How long a producer's call rides out an unreachable Redis before it raises, seconds.
PATIENCE_S: Final = 5.0


def submit_many(broker: Broker, messages: Iterable[tuple[str, NewMessage]]) -> int:
    """Store packed messages, given with their queues; see `Broker.submit_many`."""
    batches: deque[list[NewMessage]] = deque()
    taken: list[str] = []
    count = 0
    for codes in broker.redis.links.stream(_calls(broker, messages, batches), patience=PATIENCE_S):
        batch = batches.popleft()
        count += len(batch)
        if Code.EXISTS in codes:
            taken.extend(new.uuid for new, code in zip(batch, codes, strict=True) if code == Code.EXISTS)
    if taken:
        some = ", ".join(taken[:5])
        raise MessageAlreadyExistsError(f"{len(taken)} of {count} messages exist already: {some}", uuids=taken)
    return count


def submit_unique_many(broker: Broker, messages: Sequence[tuple[str, NewMessage, Unique]]) -> list[int | str]:
    """Store messages, given with their queues, whose keys nobody holds.

    Returns:
        For each message its code, or the uuid of the one that holds its key.
    """
    groups: dict[tuple[int, str], list[int]] = {}
    for i, (queue, new, _) in enumerate(messages):
        groups.setdefault((broker.keys.partition(new.uuid), queue), []).append(i)
    answers: list[int | str] = [0] * len(messages)
    for where, members in groups.items():
        for start in range(0, len(members), MOST_IN_A_CALL):
            chunk = members[start : start + MOST_IN_A_CALL]
            call = submit_unique(broker.verbs, *where, [messages[i][1:] for i in chunk])
            (reply,) = broker.redis.links.execute([call], patience=PATIENCE_S)
            for i, answer in zip(chunk, read_unique(reply), strict=True):
                answers[i] = answer
    return answers


def renew_many(broker: Broker, leases: Sequence[Held], queues: Sequence[str]) -> list[Code]:
    """Extend leases, a few calls to a partition in one write; see `Broker.renew`."""
    groups: dict[int, list[int]] = {partition: [] for partition in range(broker.keys.partitions)}
    for i, held in enumerate(leases):
        groups[broker.keys.partition(held.uuid)].append(i)
    calls: list[Call] = []
    positions: list[list[int]] = []
    for partition, members in groups.items():
        for start in range(0, max(1, len(members)), MOST_IN_A_CALL):
            chunk = members[start : start + MOST_IN_A_CALL]
            calls.append(broker.verbs.renew(partition, queues, [leases[i] for i in chunk]))
            positions.append(chunk)
    codes = [Code.MISSING] * len(leases)
    for chunk, reply in zip(positions, broker.redis.links.execute(calls), strict=True):
        for i, code in zip(chunk, reply, strict=True):
            codes[i] = Code(code)
    return codes


def report_many(broker: Broker, reports: Sequence[tuple[Message, Progress]]) -> list[Code]:
    """Note how far messages have come whose leases we hold, in one write.

    Returns:
        For each message DONE, or MISSING, STALE or REVOKED when it is no longer ours: nothing was noted then.
    """
    forward = broker.backend.serializer.forward
    groups: dict[int, list[int]] = {}
    made: list[Report] = []
    for i, (message, progress) in enumerate(reports):
        groups.setdefault(broker.keys.partition(message.uuid), []).append(i)
        status = forward(StatusUpdate(TaskStatus.RUNNING, progress.as_dict()).as_dict())
        fence = message.lease.fence if message.lease is not None else 0
        made.append(Report(held_by(message), pack_progress(progress, fence), status))
    calls: list[Call] = []
    positions: list[list[int]] = []
    for partition, members in groups.items():
        for start in range(0, len(members), MOST_IN_A_CALL):
            chunk = members[start : start + MOST_IN_A_CALL]
            calls.append(broker.verbs.progress(partition, [made[i] for i in chunk]))
            positions.append(chunk)
    codes = [Code.MISSING] * len(reports)
    for chunk, reply in zip(positions, broker.redis.links.execute(calls), strict=True):
        for i, code in zip(chunk, reply, strict=True):
            codes[i] = Code(code)
    return codes


def _calls(
    broker: Broker, messages: Iterable[tuple[str, NewMessage]], batches: deque[list[NewMessage]]
) -> Iterator[Call]:
    groups: dict[tuple[int, str], list[NewMessage]] = {}
    partition_of, verbs = broker.keys.partition, broker.verbs
    for queue, new in messages:
        where = (partition_of(new.uuid), queue)
        group = groups.get(where)
        if group is None:
            group = groups[where] = []
        group.append(new)
        if len(group) == MOST_IN_A_CALL:
            batches.append(group)
            del groups[where]
            yield verbs.submit(*where, group)
    for where, group in groups.items():
        batches.append(group)
        yield verbs.submit(*where, group)
