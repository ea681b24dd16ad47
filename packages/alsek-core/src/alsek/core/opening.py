"""Opens what a claim brought; for what cannot be read, says what is to become of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from alsek.core.envelope import pack_error
from alsek.core.failure import parse_exception
from alsek.core.message import Lease, Message
from alsek.core.settlement import Failed, Released, Settlement
from alsek.exceptions import CorruptMessageError, UnsupportedMessageVersionError, ValidationError

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek.storage.backends.redis.verbs import Claimed

log = logging.getLogger(__name__)

#: How long a message of a newer release is left for a newer worker, ms.
_NEWER_DELAY_MS: Final = 5_000


def open_claimed(broker: Broker, claimed: Claimed, token: str, deadline: float) -> Message | Settlement | None:
    """Open one message of a claim.

    Args:
        broker: Knows the form of the record.
        claimed: As Redis gave it.
        token: Of the claim.
        deadline: Of its lease, monotonic seconds.

    Returns:
        The message; the settlement of one that cannot be read; `None` for one that no settlement would reach.
    """
    try:
        return broker.message_of(claimed, token, deadline)
    except UnsupportedMessageVersionError as error:
        # A newer release wrote it: untouched, for a newer worker.
        log.warning("%s: left for a newer worker (%s)", claimed.uuid, error)
        return Released(_unread(claimed, token), delay_ms=_NEWER_DELAY_MS)
    except (CorruptMessageError, ValidationError) as error:
        if claimed.uuid.encode(errors="replace").decode() != claimed.uuid:
            # Nothing we could say about it would reach it: it dies of its deliveries.
            log.error("%r of queue %s is no id and is left alone", claimed.uuid, claimed.queue)
            return None
        log.error("%s of queue %s cannot be read and becomes a dead letter: %s", claimed.uuid, claimed.queue, error)
        return Failed(_unread(claimed, token), "corrupt", pack_error(parse_exception(error)))


def _unread(claimed: Claimed, token: str) -> Message:
    # Unchecked, as it is: only what names it is used.
    message = Message.from_record(task_name=claimed.task_name, uuid=claimed.uuid, queue=claimed.queue, created_at=0)
    message.lease = Lease(token, claimed.fence, claimed.deliveries, 0.0)
    return message
