"""Results of many messages, one after the other, as they come or in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from alsek.exceptions import TaskFailedError, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from alsek.core.message import Message
    from alsek.storage.async_result import AsyncResultStore
    from alsek.storage.result import ResultStore

#: Messages that are looked at in one round trip.
_BATCH: Final = 500


class ResultPool:
    """Waits for the results of many messages at once. Safe for threads.

    Results are deleted as they are fetched, unless `keep=True` is passed on to `ResultStore.get`.

    Args:
        result_store: Where the results will be.
    """

    def __init__(self, result_store: ResultStore) -> None:
        self.result_store = result_store

    def istream(
        self,
        *messages: Message,
        wait: int = 5_000,
        descendants: bool = False,
        return_errors: bool = False,
        **get_kwargs: Any,
    ) -> Iterator[tuple[Message, Any]]:
        """Give results as they become available; Redis says when.

        Args:
            *messages: Whose.
            wait: Longest time without a look, ms, should nothing be told.
            descendants: As in `ResultStore.get`.
            return_errors: Give the `TaskFailedError` of a failed message in the place of its result.
            **get_kwargs: For `ResultStore.get`.

        Yields:
            Message and result.

        Raises:
            ValidationError: The same uuid twice (at the first step).
            TaskFailedError: A message failed for good, was revoked or expired; the results of the others stay where
                they are.
        """
        pending = _by_uuid(messages)
        if not pending:
            return
        store = self.result_store
        waiting: dict[str, list[Message]] = {}
        for message in messages:
            for channel in store.channels(message, descendants):
                waiting.setdefault(channel, []).append(message)
        with store.watch(waiting) as subscription:
            while pending:
                event = subscription.next(time.monotonic() + wait / 1000)
                told = waiting.get(event.channel, []) if event is not None and event.channel else pending.values()
                # A copy: the caller may take its time between two results, and come back in another order.
                candidates = [message for message in told if message.uuid in pending]
                for start in range(0, len(candidates), _BATCH):
                    for message, error in store.settled(candidates[start : start + _BATCH], descendants):
                        if error is not None:
                            del pending[message.uuid]
                            if not return_errors:
                                raise error
                            yield message, error
                            continue
                        try:
                            result = store.get(message, descendants=descendants, **get_kwargs)
                        except KeyError:
                            continue  # somebody else was quicker
                        del pending[message.uuid]
                        yield message, result

    def stream(
        self,
        *messages: Message,
        wait: int = 5_000,
        descendants: bool = False,
        return_errors: bool = False,
        **get_kwargs: Any,
    ) -> Iterator[tuple[Message, Any]]:
        """Give results in the order of the messages; for the rest as `istream`.

        Args:
            *messages: Whose.
            wait: Longest time without a look, ms, should nothing be told.
            descendants: As in `ResultStore.get`.
            return_errors: Give the `TaskFailedError` of a failed message in the place of its result.
            **get_kwargs: For `ResultStore.get`.

        Yields:
            Message and result.

        Raises:
            ValidationError: The same uuid twice (at the first step).
            TaskFailedError: As in `istream`.
            TimeoutError: Only with a `timeout` of one's own.
        """
        _by_uuid(messages)
        for message in messages:
            while True:
                try:
                    result = self.result_store.get(
                        message, **{"timeout": max(1, wait), **get_kwargs}, descendants=descendants
                    )
                except TimeoutError:
                    if "timeout" in get_kwargs:
                        raise
                    continue
                except TaskFailedError as error:
                    if not return_errors:
                        raise
                    result = error
                yield message, result
                break


class AsyncResultPool:
    """The twin of `ResultPool` for asyncio.

    Leaving a loop early, close the iterator (`contextlib.aclosing`), or it listens on for a while.

    Args:
        result_store: Where the results will be.
    """

    def __init__(self, result_store: AsyncResultStore) -> None:
        self.result_store = result_store

    async def istream(
        self,
        *messages: Message,
        wait: int = 5_000,
        descendants: bool = False,
        return_errors: bool = False,
        **get_kwargs: Any,
    ) -> AsyncIterator[tuple[Message, Any]]:
        """Give results as they become available; parameters and errors are those of `ResultPool.istream`."""
        pending = _by_uuid(messages)
        store = self.result_store
        waiting: dict[str, list[Message]] = {}
        for message in messages:
            for channel in await store.channels(message, descendants):
                waiting.setdefault(channel, []).append(message)
        async with store.watch(waiting) as subscription:
            while pending:
                event = await subscription.next(time.monotonic() + wait / 1000)
                told = waiting.get(event.channel, []) if event is not None and event.channel else pending.values()
                candidates = [message for message in told if message.uuid in pending]
                for start in range(0, len(candidates), _BATCH):
                    for message, error in await store.settled(candidates[start : start + _BATCH], descendants):
                        if error is not None:
                            del pending[message.uuid]
                            if not return_errors:
                                raise error
                            yield message, error
                            continue
                        try:
                            result = await store.get(message, descendants=descendants, **get_kwargs)
                        except KeyError:
                            continue  # somebody else was quicker
                        del pending[message.uuid]
                        yield message, result

    async def stream(
        self,
        *messages: Message,
        wait: int = 5_000,
        descendants: bool = False,
        return_errors: bool = False,
        **get_kwargs: Any,
    ) -> AsyncIterator[tuple[Message, Any]]:
        """Give results in the order of the messages; parameters and errors are those of `ResultPool.stream`."""
        _by_uuid(messages)
        for message in messages:
            while True:
                try:
                    result = await self.result_store.get(
                        message, **{"timeout": max(1, wait), **get_kwargs}, descendants=descendants
                    )
                except TimeoutError:
                    if "timeout" in get_kwargs:
                        raise
                    continue
                except TaskFailedError as error:
                    if not return_errors:
                        raise
                    result = error
                yield message, result
                break


def _by_uuid(messages: tuple[Message, ...]) -> dict[str, Message]:
    by_uuid = {message.uuid: message for message in messages}
    if len(by_uuid) < len(messages):
        raise ValidationError(f"{len(messages) - len(by_uuid)} of {len(messages)} messages are there twice")
    return by_uuid
