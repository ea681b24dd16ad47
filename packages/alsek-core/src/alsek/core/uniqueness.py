"""Messages of which there is one at a time: what makes two the same, and how they are enqueued.

A unique message lies in the partition that its key leads to, so that all its duplicates meet in one atomic step.
"""

from __future__ import annotations

import asyncio
import functools
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from alsek.core.bulk import PATIENCE_S, submit_unique_many
from alsek.core.ids import made_at, new_uuid
from alsek.core.rules import check_ms
from alsek.defaults import DEFAULT_TTL
from alsek.exceptions import MessageAlreadyExistsError, ValidationError
from alsek.storage.backends.redis.scripts import Code
from alsek.storage.backends.redis.unique_verbs import Unique, read_unique, submit_unique

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.core.generation import Generation
    from alsek.core.message import Message
    from alsek.storage.backends.redis.verbs import NewMessage

#: What a call may say of it.
UNIQUE_OPTIONS: Final = ("unique_for", "unique_key")

#: Enough that two keys never meet by chance: 128 bits.
_DIGEST_BYTES: Final = 16


def check_window(unique_for: Any, unique_key: Any) -> int | None:
    """Give the window of a task or a call; `None`: not unique.

    Raises:
        ValidationError: It is no duration, or there is a key without a window.
    """
    if unique_for is None:
        if unique_key is not None:
            raise ValidationError("unique_key says what is the same, and needs unique_for: how long, in ms")
        return None
    return check_ms(unique_for, "window unique_for") or None


def make_unique(task: Generation, message: Message, window: int, unique_key: Any, *, own: bool) -> Unique:
    """Find out what makes a message unique, and move it to where its duplicates are.

    Args:
        task: Whose message.
        message: Fresh; it gets another uuid where its own leads elsewhere.
        window: How long, ms.
        unique_key: Of the call; `None`: the task's, else the arguments.
        own: Whether the caller chose the uuid, which must not be changed then.

    Raises:
        ValidationError: The key is no text, or the chosen uuid leads to another partition.
    """
    key = unique_key if unique_key is not None else task.unique_key
    if callable(key):
        key = key(*message.args, **message.kwargs)
    if key is None:
        args, kwargs = task.normal_call(message.args, message.kwargs)
        text = task.broker.backend.serializer.forward([list(args), kwargs])
        what = b"a" + (text if isinstance(text, bytes) else text.encode())
    elif isinstance(key, str) and key:
        what = b"k" + key.encode()
    else:
        raise ValidationError(f"unique_key has to be a text, or give one: {key!r}")
    digest = blake2b(task.name.encode() + b"\0" + what, digest_size=_DIGEST_BYTES).hexdigest()
    keys = task.broker.keys
    home = keys.partition(digest)
    if keys.partition(message.uuid) != home:
        if own:
            raise ValidationError(
                f"a unique message cannot have the uuid {message.uuid!r}: it leads to another of the "
                f"{keys.partitions} partitions than its key; leave uuid= out"
            )
        while keys.partition(message.uuid) != home:
            message.uuid = new_uuid()
        message.created_at = message.updated_at = made_at(message.uuid) or message.created_at
    return Unique(digest, window)


def enqueue(task: Generation, messages: Sequence[tuple[Message, Unique]], options: dict[str, Any]) -> list[bool]:
    """Enqueue unique messages; a duplicate takes the uuid of the one that is there.

    Returns:
        For each whether it was stored.

    Raises:
        MessageAlreadyExistsError: Some uuids are alive already; all others were enqueued.
    """
    try:
        new = [(message.queue, _packed(task, message, **options), unique) for message, unique in messages]
        answers = submit_unique_many(task.broker, new)
    except Exception:
        _take_back(task, messages)
        raise
    return _settle(task, messages, answers)


async def enqueue_async(task: Generation, message: Message, unique: Unique, options: dict[str, Any]) -> bool:
    """Enqueue a unique message without blocking the event loop; see `enqueue`."""
    broker, messages = task.broker, [(message, unique)]
    own_tracker = task.status_tracker is not None and not task.tracks_natively  # it may block
    if own_tracker:
        await asyncio.to_thread(task.announce, (message,))
    try:
        new = _packed(task, message, **options)
        call = submit_unique(broker.verbs, broker.keys.partition(message.uuid), message.queue, [(new, unique)])
        reply = await broker.redis.async_link.execute(call, patience=PATIENCE_S)
    except Exception:
        if own_tracker:
            await asyncio.to_thread(_take_back, task, messages)
        raise
    answers = read_unique(reply)
    settle = functools.partial(_settle, task, messages, answers)
    return (await asyncio.to_thread(settle) if own_tracker else settle())[0]


def _packed(
    task: Generation, message: Message, ttl: int | None = DEFAULT_TTL, *, kept_status_ms: int | None = None
) -> NewMessage:
    return task.broker.new_message(message, ttl, kept_status_ms)


def _take_back(task: Generation, messages: Sequence[tuple[Message, Unique]]) -> None:
    """Have a tracker of the user's own forget what was announced to it and will not be."""
    if task.status_tracker is not None and not task.tracks_natively:
        for message, _ in messages:
            task.status_tracker.delete(message, check=False)


def _settle(task: Generation, messages: Sequence[tuple[Message, Unique]], answers: Sequence[int | str]) -> list[bool]:
    taken: list[str] = []
    for (message, unique), answer in zip(messages, answers, strict=True):
        if isinstance(answer, str):
            _take_back(task, [(message, unique)])
            message.uuid = answer
            message.ephemeral_state["duplicate_of"] = answer
        elif answer == Code.EXISTS:
            taken.append(message.uuid)
    if taken:
        some = ", ".join(taken[:5])
        raise MessageAlreadyExistsError(f"{len(taken)} of {len(messages)} messages exist already: {some}", uuids=taken)
    return [not isinstance(answer, str) for answer in answers]
