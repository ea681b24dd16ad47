"""The verbs on a cluster: each call goes to the node of its keys, and follows them when they have moved.

The twin of `Link` over many nodes, with the same calls, errors and repeats. A redirected call has not run, so it goes
on as it was; one whose reply was lost goes as a repeat.
"""

from __future__ import annotations

import time
from random import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from redis import exceptions as redis_errors

from alsek.exceptions import AlsekError, BackendDataError, BackendUnavailableError
from alsek.storage.backends.redis.errors import is_missing_script, redirect_of, translate
from alsek.storage.backends.redis.link import Link, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alsek.storage.backends.redis.link import Argument, Call, Command, Route
    from alsek.storage.backends.redis.slots import Node, Slots

#: As in `link`: bounds of the pause between two attempts, seconds (full jitter).
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0

#: Redirects in a row after which nodes contradict each other: better to wait until they agree.
MOST_HOPS: Final = 5

#: Calls of a stream that are on their way at a time: enough to keep several nodes busy.
_STREAM: Final = 8

#: Where the key of a plain command stands, if not right behind its name; 0: it has none, any node will do.
_KEY_AT: Final = {
    "ACL": 0, "CLIENT": 0, "CLUSTER": 0, "CONFIG": 0, "DBSIZE": 0, "EVALSHA": 3, "INFO": 0, "MEMORY": 2, "OBJECT": 2,
    "PING": 0, "PUBLISH": 0, "ROLE": 0, "SCAN": 0, "SCRIPT": 0, "TIME": 0,
}  # fmt: skip

_ASKING: Final = pack(("ASKING",))


class _Order(NamedTuple):
    """What has to be sent: a call or a plain command.

    Attributes:
        key: Decides where; `None`: anywhere.
        call: The call, if it is one.
        packed: The bytes of a plain command.
    """

    key: Argument | None
    call: Call | None = None
    packed: bytes = b""

    def wire(self, *, again: bool) -> bytes:
        """Give the bytes that go over the wire."""
        return self.packed if self.call is None else self.call.packed(again=again)


class ClusterLink:
    """One connection to each node that is needed, used by one thread at a time.

    Args:
        slots: Tells which node serves what.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._links: dict[Node, Link] = {}

    def execute(self, calls: Sequence[Call], *, patience: float = 0.0) -> list[Any]:
        """Run calls, those of one node in one write, and give their replies in order; see `Link.execute`."""
        run = _Run([_Order(call.keys[0], call) for call in calls])
        pause = _FIRST_PAUSE
        end = time.monotonic() + patience
        while (failure := self._attempt(run)) is not None:
            left = end - time.monotonic()
            if left <= 0:
                failure.ambiguous = bool(run.maybe)
                raise failure
            time.sleep(min(left, random() * pause))  # noqa: S311  (jitter, not a secret)
            pause = min(_LONGEST_PAUSE, pause * 2)
        return run.replies

    def stream(self, calls: Iterable[Call], *, patience: float = 0.0) -> Iterator[Any]:
        """Run calls, a few at a time, and give their replies in order; see `Link.stream`."""
        batch: list[Call] = []
        for call in calls:
            batch.append(call)
            if len(batch) >= _STREAM:
                yield from self.execute(batch, patience=patience)
                batch = []
        if batch:
            yield from self.execute(batch, patience=patience)

    def command(self, *args: Argument) -> Any:
        """Run one plain command without any repeat but where it is redirected."""
        (reply,) = self.ask([args])
        if isinstance(reply, BackendDataError):
            raise reply
        return reply

    def ask(self, commands: Sequence[Command], *, key: str | None = None) -> list[Any]:
        """Run plain commands, those of one node in one write; see `Link.ask`."""
        if key is not None:
            try:
                return self._link(self._slots.node_of(key)).ask(commands)
            except BackendUnavailableError:
                self._slots.doubt()
                raise
        run = _Run([_Order(key_of(command), packed=pack(command)) for command in commands])
        run.lenient = True
        failure = self._attempt(run)
        if failure is not None:
            failure.ambiguous = bool(run.maybe)
            raise failure
        return run.replies

    def nodes(self) -> list[Route]:
        """Give a way to each primary: what a scan has to visit."""
        return [self._link(node) for node in self._slots.primaries()]

    def close(self) -> None:
        """Drop the connections; the next call makes new ones."""
        while self._links:
            self._links.popitem()[1].close()

    def _attempt(self, run: _Run) -> BackendUnavailableError | None:
        """Run what is open, following redirects; gives why something still is.

        Raises:
            AlsekError: A repeat cannot mend it.
        """
        for _ in range(MOST_HOPS):
            if not run.open:
                return None
            failure = self._round(run)
            if failure is not None:
                self._slots.doubt()
                return failure
        return BackendUnavailableError("Redis cannot serve now: the nodes of the cluster send us in circles")

    def _round(self, run: _Run) -> BackendUnavailableError | None:
        try:
            groups = self._groups(run)
        except BackendUnavailableError as error:
            return error
        troubles: list[AlsekError] = []
        try:
            sent = [node for node, indexes in groups.items() if self._send(node, indexes, run, troubles)]
            # All replies are read, whatever they are: the next ones on a connection belong to the next calls.
            for node in sent:
                self._read(node, groups[node], run, troubles)
        except BaseException:
            self.close()  # nobody knows what was read
            raise
        fatal = [trouble for trouble in troubles if not isinstance(trouble, BackendUnavailableError)]
        if fatal:
            raise fatal[0]
        return troubles[0] if troubles else None  # type: ignore[return-value]  # the others have been raised

    def _send(self, node: Node, indexes: Sequence[int], run: _Run, troubles: list[AlsekError]) -> bool:
        parts = []
        for i in indexes:
            if i in run.asking:
                parts.append(_ASKING)
            parts.append(run.orders[i].wire(again=i in run.maybe))
        try:
            self._link(node).post(b"".join(parts))
        except AlsekError as error:
            self._lost(node, run, indexes, error, troubles)
            return False
        return True

    def _read(self, node: Node, indexes: Sequence[int], run: _Run, troubles: list[AlsekError]) -> None:
        link = self._link(node)
        missing: set[bytes] = set()
        read = 0
        try:
            for i in indexes:
                if i in run.asking:
                    link.collect()
                    del run.asking[i]
                reply = link.collect()
                read += 1
                if not isinstance(reply, redis_errors.ResponseError):
                    run.settle(i, reply)
                elif trouble := self._refused(run, i, reply, node, missing):
                    troubles.append(trouble)
            for source in missing:
                link.command("SCRIPT", "LOAD", source)
        except AlsekError as error:
            self._lost(node, run, indexes[read:], error, troubles)

    def _refused(
        self, run: _Run, i: int, reply: redis_errors.ResponseError, node: Node, missing: set[bytes]
    ) -> AlsekError | None:
        call = run.orders[i].call
        if is_missing_script(reply) and call is not None:
            missing.add(call.script.source)
            return None
        redirect = redirect_of(reply)
        if redirect is not None:
            there = self._slots.moved(redirect, node)
            if redirect.once:
                run.asking[i] = there
            return None
        failure = translate(reply, sent=True)
        failure.__cause__ = reply
        if isinstance(failure, BackendDataError) and run.lenient:
            run.settle(i, failure)
            return None
        if not isinstance(failure, BackendUnavailableError):
            run.settle(i, None)
        return failure

    def _groups(self, run: _Run) -> dict[Node, list[int]]:
        groups: dict[Node, list[int]] = {}
        for i in run.open:
            key = run.orders[i].key
            node = run.asking.get(i) or (self._slots.node_of(key) if key is not None else self._slots.primaries()[0])
            groups.setdefault(node, []).append(i)
        return groups

    def _lost(
        self, node: Node, run: _Run, indexes: Iterable[int], error: AlsekError, troubles: list[AlsekError]
    ) -> None:
        troubles.append(error)
        for i in indexes:
            run.asking.pop(i, None)
            if isinstance(error, BackendUnavailableError) and error.ambiguous:
                run.maybe.add(i)
        link = self._links.pop(node, None)
        if link is not None:
            link.close()

    def _link(self, node: Node) -> Link:
        link = self._links.get(node)
        if link is None:
            link = self._links[node] = Link(lambda: self._slots.connection_to(node, 5.0))
        return link


class _Run:
    """How far several orders have come.

    Attributes:
        open: Those without a reply.
        maybe: Those that may have run without us hearing of it.
        asking: Those that have to go to a node that only takes over their slot.
        lenient: What a command could not use is a reply like others.
    """

    def __init__(self, orders: Sequence[_Order]) -> None:
        self.orders = orders
        self.replies: list[Any] = [None] * len(orders)
        self.open = dict.fromkeys(range(len(orders)))
        self.maybe: set[int] = set()
        self.asking: dict[int, Node] = {}
        self.lenient = False

    def settle(self, i: int, reply: Any) -> None:
        """Note a reply."""
        self.replies[i] = reply
        self.open.pop(i)
        self.maybe.discard(i)


def key_of(command: Command) -> Argument | None:
    """Give the key that decides where a plain command goes; `None`: any node will do."""
    at = _KEY_AT.get(str(command[0]).upper(), 1)
    return command[at] if 0 < at < len(command) else None
