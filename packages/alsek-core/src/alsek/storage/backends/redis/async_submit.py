"""Gathers the messages that tasks of one event loop submit at the same moment: one script for many costs a third."""

from __future__ import annotations

import asyncio
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from alsek.storage.backends.redis.async_wire import WireBrokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.verbs import NewMessage, Verbs

    _Member = tuple[NewMessage, asyncio.Future[int]]

#: Messages in one script. Small, so that Redis works on one batch while the loop makes the next.
_MOST: Final = 25

#: Bytes of bodies in one script: larger ones travel alone, and hold nobody up.
_MOST_BYTES: Final = 262_144


class Submitter(Protocol):
    """Who submits, with its present settings: a broker."""

    @property
    def verbs(self) -> Verbs:
        """The verbs under its policy."""


class Runner(Protocol):
    """Runs calls: an `AsyncLink`."""

    def post(self, call: Call) -> asyncio.Future[Any] | None:
        """Send a call at once."""

    def execute(self, call: Call, *, patience: float, again: bool) -> Awaitable[Any]:
        """Run a call with patience."""


class AsyncSubmits:
    """The batches that are being gathered in one event loop.

    Args:
        link: Runs the calls.
    """

    def __init__(self, link: Runner) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._open: dict[tuple[Submitter, int, str], _Batch] = {}
        self._running: set[asyncio.Task[None]] = set()

    def add(
        self, submitter: Submitter, partition: int, queue: str, message: NewMessage, patience: float
    ) -> asyncio.Future[int]:
        """Put a message into the batch of this turn.

        Returns:
            Its code, or an exception of its own.
        """
        key = (submitter, partition, queue)
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Batch(patience)
            self._loop.call_soon(self._send, key, batch)
        code: asyncio.Future[int] = self._loop.create_future()
        batch.members.append((message, code))
        batch.size += len(message.body)
        if len(batch.members) >= _MOST or batch.size >= _MOST_BYTES:
            self._send(key, batch)
        return code

    def _send(self, key: tuple[Submitter, int, str], batch: _Batch) -> None:
        if batch.sent:
            return
        batch.sent = True
        del self._open[key]
        wanted = [member for member in batch.members if not member[1].cancelled()]
        if not wanted:
            return
        submitter, partition, queue = key
        try:
            call = submitter.verbs.submit(partition, queue, [message for message, _ in wanted])
            reply = self._link.post(call)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            _refuse(wanted, error)
            return
        if reply is None:
            self._insist(call, wanted, batch.patience, again=False)
        else:
            reply.add_done_callback(partial(self._read, call, wanted, batch.patience))

    def _read(self, call: Call, members: Sequence[_Member], patience: float, reply: asyncio.Future[Any]) -> None:
        broken = reply.exception()
        codes = reply.result() if broken is None else None
        if isinstance(codes, list):
            _answer(members, codes)
        else:
            # An error reply, or none: the careful way knows what to do about each.
            again = isinstance(broken, WireBrokenError) and broken.sent
            self._insist(call, members, patience, again=again)

    def _insist(self, call: Call, members: Sequence[_Member], patience: float, *, again: bool) -> None:
        task = self._loop.create_task(self._run(call, members, patience, again))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, call: Call, members: Sequence[_Member], patience: float, again: bool) -> None:
        try:
            codes = await self._link.execute(call, patience=patience, again=again)
        except asyncio.CancelledError:  # the loop is ending
            for _, code in members:
                code.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            _refuse(members, error)
        else:
            _answer(members, codes)


class _Batch:
    """Messages of one queue that leave together."""

    __slots__ = ("members", "patience", "sent", "size")

    def __init__(self, patience: float) -> None:
        self.members: list[_Member] = []
        self.patience = patience
        self.sent = False
        self.size = 0


def _answer(members: Sequence[_Member], codes: Sequence[int]) -> None:
    for (_, future), code in zip(members, codes, strict=True):
        if not future.done():
            future.set_result(code)


def _refuse(members: Sequence[_Member], error: Exception) -> None:
    for _, future in members:
        if not future.done():
            future.set_exception(copy(error))
