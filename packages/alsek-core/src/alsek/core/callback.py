"""What runs after a message: folded into it by the producer, unfolded by the worker that ran it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alsek.core.message import Message

Callback = Message | Sequence[Message]


def fold(callback: Callback | None) -> Message | None:
    """Make one message of several that are to run one after the other; changes the given ones.

    Raises:
        AttributeError: One of several has a callback already.
    """
    if callback is None or isinstance(callback, Message):
        return callback
    folded: Message | None = None
    for message in reversed(list(callback)):
        if message.callback_message_data is not None:
            raise AttributeError(f"{message.summary} has a callback already: give nested callbacks, or a flat tuple")
        if folded is not None:
            message.update(callback_message_data=folded.data)
        folded = message
    return folded


def follow_up(message: Message, result: Any) -> Message | None:
    """Give the message that runs after this one, told what came before; `None` when there is none."""
    data = message.callback_message_data
    if data is None:
        return None
    return Message(**data).update(
        previous_result=result,
        previous_message_uuid=message.uuid,
        progenitor_uuid=message.progenitor_uuid or message.uuid,
    )
