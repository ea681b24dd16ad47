"""Gathers the messages that tasks of one event loop submit at the same moment: one script for many costs a third."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.verbs import NewMessage, Verbs

    _Member = tuple[NewMessage, asyncio.Future[int]]

#: Messages in one script. Small enough that Redis works on one batch while the loop makes the next.
_MOST: Final = 32

#: Bytes of bodies in one script: larger ones travel alone, and hold nobody up.
_MOST_BYTES: Final = 262_144


class Execute(Protocol):
    """`AsyncLink.execute`."""

    def __call__(self, call: Call, *, patience: float) -> Awaitable[Any]: ...


class AsyncSubmits:
    """The batches that are being gathered in one event loop.

    Args:
        execute: Runs a call.
    """

    def __init__(self, execute: Execute) -> None:
        self._execute = execute
        self._open: dict[tuple[Verbs, int, str], _Batch] = {}
        self._running: set[asyncio.Task[None]] = set()

    def add(
        self, verbs: Verbs, partition: int, queue: str, message: NewMessage, patience: float
    ) -> asyncio.Future[int]:
        """Put a message into the batch of this turn.

        Returns:
            Its code, or an exception of its own.
        """
        loop = asyncio.get_running_loop()
        key = (verbs, partition, queue)
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Batch(patience)
            loop.call_soon(self._send, key, batch)
        batch.patience = max(batch.patience, patience)
        code: asyncio.Future[int] = loop.create_future()
        batch.members.append((message, code))
        batch.size += len(message.body)
        if len(batch.members) >= _MOST or batch.size >= _MOST_BYTES:
            self._send(key, batch)
        return code

    def _send(self, key: tuple[Verbs, int, str], batch: _Batch) -> None:
        if batch.sent:
            return
        batch.sent = True
        del self._open[key]
        wanted = [member for member in batch.members if not member[1].cancelled()]
        if wanted:
            task = asyncio.create_task(self._run(key, wanted, batch.patience))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, key: tuple[Verbs, int, str], members: Sequence[_Member], patience: float) -> None:
        verbs, partition, queue = key
        try:
            call = verbs.submit(partition, queue, [message for message, _ in members])
            codes = await self._execute(call, patience=patience)
        except asyncio.CancelledError:  # the loop is ending
            for _, code in members:
                code.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            for _, code in members:
                if not code.done():
                    code.set_exception(copy(error))
            return
        for (_, code), value in zip(members, codes, strict=True):
            if not code.done():
                code.set_result(value)


class _Batch:
    """Messages of one queue that leave together."""

    __slots__ = ("members", "patience", "sent", "size")

    def __init__(self, patience: float) -> None:
        self.members: list[_Member] = []
        self.patience = patience
        self.sent = False
        self.size = 0
