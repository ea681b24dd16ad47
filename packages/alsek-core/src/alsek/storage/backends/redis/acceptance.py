"""The verb by which messages come in by HTTP: stored with a ticket, and with the answer to a repeated request.

It stands beside `Verbs`, for the same keys and policy. Requests of many messages take several steps, and are reserved
first: their uuids follow from a seed, so that a repeat after a crash stores nothing twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from alsek.storage.backends.redis.link import Argument, Call
from alsek.storage.backends.redis.scripts import script
from alsek.storage.backends.redis.values import value_script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alsek.storage.backends.redis.async_submit import Submitter
    from alsek.storage.keys import Keys


class Arrival(NamedTuple):
    """A message on its way in: a `NewMessage`, and its tickets.

    Attributes:
        ticket_ms: How long the tickets are kept.
        tickets: Uuid and text of each: its own, and those of its callbacks, which lie in its partition.
    """

    uuid: str
    task_name: str
    body: bytes
    priority: int
    delay_ms: int
    ttl_ms: int | str
    kept_status_ms: int | str
    ticket_ms: int
    tickets: tuple[tuple[str, str], ...]


class Once(NamedTuple):
    """What makes a request be carried out once.

    Attributes:
        digest: Names the request.
        asked: What it asks for: another text is another request.
        answer: What it is answered, now and when it comes again.
        kept_ms: How long that is remembered.
    """

    digest: str
    asked: str
    answer: str
    kept_ms: int


class Acceptance:
    """Builds the calls; it can stand where the batches of `AsyncLink.submit` expect a broker.

    Args:
        keys: Names of the keys.
        broker: With the verbs under its present policy.
    """

    def __init__(self, keys: Keys, broker: Submitter) -> None:
        self._keys = keys
        self._broker = broker

    @property
    def verbs(self) -> Any:
        """Itself: what is submitted through it is accepted."""
        return self

    def submit(self, partition: int, queue: str, messages: Sequence[Arrival]) -> Call:
        """Store messages of one queue. Reply: a code for each."""
        return self._call(partition, queue, messages, ("", "", "", 0))

    def once(self, partition: int, queue: str, message: Arrival, once: Once) -> Call:
        """Store a message, unless the request came before. Reply: see `accept.lua`."""
        tag = self._keys.tag(partition)
        key = self._keys.idempotency(once.digest).removeprefix(tag)
        return self._call(partition, queue, (message,), (key, once.asked, once.answer, once.kept_ms))

    def reserve(self, once: Once, seed: str, alone_ms: int) -> Call:
        """Reserve a request of several steps. Reply: see `reserve.lua`."""
        return Call(
            value_script("reserve"), (self._keys.idempotency(once.digest),), (once.asked, seed, alone_ms, once.kept_ms)
        )

    def _call(
        self, partition: int, queue: str, messages: Sequence[Arrival], request: tuple[str, str, str, int]
    ) -> Call:
        verbs = self._broker.verbs
        args: list[Argument] = [verbs.policy.weight, "0", verbs.statuses["SUBMITTED"], *request]
        for message in messages:
            args += message[:8]
            args.append(len(message.tickets))
            for ticket in message.tickets:
                args += ticket
        keys = [self._keys.tag(partition), *self._keys.of_queue(queue, partition)]
        return Call(script("accept"), keys, args, again=1)
