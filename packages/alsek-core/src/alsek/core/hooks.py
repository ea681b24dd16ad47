"""What users override in a task of their own: each does nothing, or the usual, until they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsek.core.message import Message


class TaskHooks:
    """Mixed into `Task`.

    An exception in one of the four `on_…` hooks is logged and changes nothing; in the others it is the task's failure.
    """

    max_retries: int | None
    retry_on: tuple[type[BaseException], ...] | None
    no_retry_on: tuple[type[BaseException], ...]

    def pre_op(self, message: Message) -> None:
        """Run before `op`; an exception counts as the task's failure."""

    def post_op(self, message: Message, result: Any) -> None:
        """Run after `op`, also after a failure (`result` is `None` then)."""

    def on_submit(self, message: Message) -> None:
        """Run in the producer after a message was enqueued."""

    def on_retry(self, message: Message, exception: BaseException) -> None:
        """Run before a retry is written."""

    def on_failure(self, message: Message, exception: BaseException) -> None:
        """Run before a message moves to the dead letters."""

    def on_success(self, message: Message, result: Any) -> None:
        """Run after a message was acknowledged."""

    def on_revocation(self, message: Message, exception: BaseException | None, result: Any) -> None:
        """Run when a message was revoked while it ran; `exception` or `result` is `None`."""

    def do_retry(self, message: Message, exception: BaseException) -> bool:
        """Decide whether a failed message is tried again: by the kind of the exception, then by the retries left."""
        if self.retry_on is not None and not isinstance(exception, self.retry_on):
            return False
        if isinstance(exception, self.no_retry_on):
            return False
        return self.max_retries is None or message.retries < self.max_retries

    def do_callback(self, message: Message, result: Any) -> bool:
        """Decide whether a message's callback is submitted."""
        return True
