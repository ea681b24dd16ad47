"""Calls a task with many arguments: a window of messages at a time, results as they come or in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from alsek.core.progress_bar import bar_for
from alsek.core.rules import check_count
from alsek.exceptions import TaskFailedError, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from alsek.core.generation import Generation
    from alsek.core.message import Message
    from alsek.storage.async_result import AsyncResultStore
    from alsek.storage.backends.redis.listener import Event
    from alsek.storage.result import ResultStore

#: Messages that are under way at a time, unless somebody wants others: enough for a few hundred slots.
DEFAULT_WINDOW: Final = 500

#: Longest time without a look, seconds, should nothing be told.
_LOOK_S: Final = 5.0

#: While more results are announced, they are gathered for so long, seconds, up to so many: one round trip for all.
_GATHER_S: Final = 0.002
_MOST: Final = 200

#: Never chosen for all calls of a map.
_OF_ONE_CALL: Final = frozenset({"args", "kwargs", "uuid", "callback", "submit", "unique_for", "unique_key"})


class Flight:
    """The messages of a map that are under way, and the results that wait for their turn. Touches no socket.

    Args:
        calls: The arguments of each call.
        window: Most calls that were enqueued and not handed on.
        in_order: Hand on in the order of the calls.
        return_exceptions: Hand errors on in the place of results.
    """

    def __init__(
        self, calls: Iterator[tuple[Any, ...]], window: int, *, in_order: bool, return_exceptions: bool
    ) -> None:
        self._calls: Iterator[tuple[Any, ...]] | None = calls
        self._window = window
        self._in_order = in_order
        self._return_exceptions = return_exceptions
        self._places: dict[str, int] = {}
        self._by_channel: dict[str, Message] = {}
        self._results: dict[int, Any] = {}
        self._ready: deque[int] = deque()
        self._made = self._handed = 0

    def over(self) -> bool:
        """Whether all calls were made and all results handed on."""
        return self._calls is None and self._handed == self._made

    def next_calls(self) -> list[dict[str, Any]]:
        """Give calls to be enqueued now: a good part of the window at a time, and none while little room is left."""
        room = self._window - (self._made - self._handed)
        if self._calls is None or room < max(1, self._window // 4):
            return []
        calls = [{"args": args} for args in islice(self._calls, room)]
        if len(calls) < room:
            self._calls = None
        return calls

    def take_off(self, messages: list[Message], channels: list[str]) -> None:
        """Note messages that were enqueued, and where their ends are told."""
        for message, channel in zip(messages, channels, strict=True):
            self._places[message.uuid] = self._made
            self._by_channel[channel] = message
            self._made += 1

    def candidates(self, told: list[Event]) -> list[Message]:
        """Give the messages whose results may be there."""
        if any(event.channel is None for event in told) or not told:
            return list(self._by_channel.values())
        found = (self._by_channel.get(event.channel or "") for event in told)
        return list({message.uuid: message for message in found if message is not None}.values())

    def land(self, message: Message, channel: str, result: Any) -> None:
        """Note a result, or the error in its place."""
        place = self._places.pop(message.uuid)
        del self._by_channel[channel]
        self._results[place] = result
        self._ready.append(place)

    def hand_on(self) -> Iterator[Any]:
        """Give the results whose turn it is.

        Raises:
            TaskFailedError: A call failed, and errors are not to be handed on.
        """
        while self._results:
            place = self._handed if self._in_order else self._ready.popleft()
            if place not in self._results:
                return
            result = self._results.pop(place)
            self._handed += 1
            if isinstance(result, TaskFailedError) and not self._return_exceptions:
                raise result
            yield result


def check_map(
    task: Generation, iterables: tuple[Iterable[Any], ...], window: Any, options: Mapping[str, Any]
) -> ResultStore:
    """Refuse a map that cannot be; gives the store of the results.

    Raises:
        ValidationError: There is no iterable, the task keeps no results, the window is no number, or an option belongs
            to single calls.
    """
    if not iterables:
        raise ValidationError(f"map() takes an iterable for each argument of {task.name}, at least one")
    if task.result_store is None:
        raise ValidationError(f"map() gives results, and task {task.name} keeps none: @task(..., result_store=...)")
    if check_count(window, "window") == 0:
        raise ValidationError("The window must be at least 1 message: 0")
    if wrong := sorted(_OF_ONE_CALL & options.keys()):
        raise ValidationError(f"map() takes no {', '.join(wrong)}: that belongs to a single call")
    return task.result_store


def run_map(
    task: Generation,
    iterables: tuple[Iterable[Any], ...],
    window: int,
    *,
    in_order: bool,
    return_exceptions: bool,
    progress: bool | None,
    options: dict[str, Any],
) -> Iterator[Any]:
    """Make the calls, and give their results; see `Calling.map`."""
    store = check_map(task, iterables, window, options)
    flight = Flight(zip(*iterables, strict=False), window, in_order=in_order, return_exceptions=return_exceptions)
    bar = bar_for(task.name, iterables, progress)
    return _run(task, store, flight, bar, options)


def _run(task: Generation, store: ResultStore, flight: Flight, bar: Any, options: dict[str, Any]) -> Iterator[Any]:
    with bar or nullcontext(), store.watch(()) as subscription:
        while not flight.over():
            while calls := flight.next_calls():
                messages = task.generate_many(calls, **options, unique_for=0)
                channels = [store.channels(message)[0] for message in messages]
                flight.take_off(messages, channels)
                subscription.add(channels)
            if flight.over():
                return
            told: list[Event] = []
            deadline = time.monotonic() + _LOOK_S
            while len(told) < _MOST and (event := subscription.next(deadline)) is not None:
                told.append(event)
                deadline = min(deadline, time.monotonic() + _GATHER_S)
            candidates = flight.candidates(told)
            landed = []
            for start in range(0, len(candidates), _MOST):
                for message, result in store.collect(candidates[start : start + _MOST]):
                    landed.append(store.channels(message)[0])
                    flight.land(message, landed[-1], result)
            subscription.drop(landed)
            if bar is not None:
                bar.advance(len(landed))
            yield from flight.hand_on()


def run_amap(
    task: Generation,
    iterables: tuple[Iterable[Any], ...],
    window: int,
    *,
    in_order: bool,
    return_exceptions: bool,
    progress: bool | None,
    options: dict[str, Any],
) -> AsyncIterator[Any]:
    """Make the calls without blocking the event loop, and give their results; see `Calling.amap`."""
    from alsek.storage.async_result import AsyncResultStore

    store = AsyncResultStore.of(check_map(task, iterables, window, options))
    flight = Flight(zip(*iterables, strict=False), window, in_order=in_order, return_exceptions=return_exceptions)
    bar = bar_for(task.name, iterables, progress)
    return _arun(task, store, flight, bar, options)


async def _arun(
    task: Generation, store: AsyncResultStore, flight: Flight, bar: Any, options: dict[str, Any]
) -> AsyncIterator[Any]:
    with bar or nullcontext():
        async with store.watch(()) as subscription:
            while not flight.over():
                while calls := flight.next_calls():
                    made = [task.agenerate(**options, **call, unique_for=0) for call in calls]
                    messages = await asyncio.gather(*made)
                    channels = [(await store.channels(message))[0] for message in messages]
                    flight.take_off(messages, channels)
                    subscription.add(channels)
                if flight.over():
                    return
                told: list[Event] = []
                deadline = time.monotonic() + _LOOK_S
                while len(told) < _MOST and (event := await subscription.next(deadline)) is not None:
                    told.append(event)
                    deadline = min(deadline, time.monotonic() + _GATHER_S)
                candidates = flight.candidates(told)
                landed = []
                for start in range(0, len(candidates), _MOST):
                    chunk: Any = store.collect(candidates[start : start + _MOST])  # a generator
                    async with aclosing(chunk) as found:
                        async for message, result in found:
                            landed.append((await store.channels(message))[0])
                            flight.land(message, landed[-1], result)
                subscription.drop(landed)
                if bar is not None:
                    bar.advance(len(landed))
                for result in flight.hand_on():
                    yield result
