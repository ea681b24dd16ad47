"""What a child holds under a lease, written down where its supervisor reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek_worker.attempt import Attempt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.core.message import Message
    from alsek_worker.execution import Execution
    from alsek_worker.ledger import Ledger


class Holding:
    """The attempts of a child that have not been settled, by uuid.

    Args:
        ledger: Where the supervisor reads them.
        execution: Knows the tasks.
        queues: All queues of the child, in the order in which the ledger numbers them.

    Attributes:
        finished: How many have been let go.
    """

    def __init__(self, ledger: Ledger, execution: Execution, queues: Sequence[str]) -> None:
        self._ledger = ledger
        self._execution = execution
        self._number = {queue: i for i, queue in enumerate(queues)}
        self._attempts: dict[str, Attempt] = {}
        self.finished = 0

    def __len__(self) -> int:
        return len(self._attempts)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._attempts.values()))

    def get(self, uuid: str) -> Attempt | None:
        """Give the attempt of a message, if it is held."""
        return self._attempts.get(uuid)

    def hold(self, message: Message) -> Attempt:
        """Write down a message that was claimed."""
        lease = message.lease
        assert lease is not None
        slot = self._ledger.hold(message.uuid, lease.token, self._number.get(message.queue, 0))
        attempt = Attempt(message, self._execution.recipe(message), slot)
        self._attempts[message.uuid] = attempt
        return attempt

    def let_go(self, attempt: Attempt) -> bool:
        """Strike an attempt out.

        Returns:
            `False` when it has been before. What was settled without its executor comes a second time when that ends
            after all, and by then the same uuid may be here again under a newer lease.
        """
        if self._attempts.get(attempt.message.uuid) is not attempt:
            return False
        del self._attempts[attempt.message.uuid]
        self._ledger.free(attempt.slot)
        self.finished += 1
        self._ledger.done = self.finished
        return True
