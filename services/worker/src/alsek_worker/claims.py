"""What a child claimed and did not live to write down.

Between the moment at which Redis carries out a claim and the moment at which the child
notes it in its ledger, a SIGKILL leaves messages that nobody knows of until their leases
lapse. The claim leaves a receipt, though, so that a lost reply can be asked for again: it
is read here once the child is dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.exceptions import CorruptMessageError, UnsupportedMessageVersionError
from alsek.storage.backends.redis.receipts import last_claims

if TYPE_CHECKING:
    from collections.abc import Collection

    from alsek.core.broker import Broker
    from alsek.core.message import Message


def unwritten(broker: Broker, consumer_id: str, known: Collection[str]) -> list[Message]:
    """Give the messages of a consumer's last claims that it still holds, but for those that are known.

    Args:
        broker: Whose messages.
        consumer_id: Of the dead child.
        known: Uuids in its ledger.

    Raises:
        BackendUnavailableError: Redis did not answer.
    """
    lost: list[Message] = []
    for token, uuids in last_claims(broker.redis, consumer_id):
        for uuid in uuids:
            try:
                message = None if uuid in known else broker.find(uuid)
            except (CorruptMessageError, UnsupportedMessageVersionError):
                continue  # it may be what the child died of; when its lease is over, the engine counts that
            if message is not None and message.lease is not None and message.lease.token == token:
                lost.append(message)
    return lost
