"""Which node of a cluster serves which slot: asked when it is first needed, and again whenever it may have changed."""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors
from redis.crc import key_slot

from alsek.exceptions import AlsekError, BackendAuthenticationError, BackendDataError, BackendUnavailableError
from alsek.storage.backends.redis.errors import translate
from alsek.storage.backends.redis.link import Argument, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from redis.connection import Connection

    from alsek.storage.backends.redis.errors import Redirect

#: Host and port.
Node = tuple[str, int]

SLOTS: Final = 16_384

#: A node that does not say within this what it knows is passed over, seconds.
_ANSWER_S: Final = 1.0

#: A younger table is believed, whatever happened, seconds: a storm of failures must not become a storm of questions.
_FRESH_S: Final = 0.1


class Slots:
    """The table of one cluster, shared by all links of a process; safe for threads.

    Args:
        connect: Makes an unconnected connection to a node, with a socket time-out in seconds.
        seeds: Nodes to ask first.
        remap: Turns a node's address as the cluster tells it into one that can be reached from here.
    """

    def __init__(
        self,
        connect: Callable[[Node, float | None], Connection],
        seeds: Iterable[Node],
        remap: Callable[[Node], Node] | None = None,
    ) -> None:
        self._connect = connect
        self._seeds = list(seeds)
        self._remap = remap or (lambda node: node)
        self._table: list[Node | None] = []
        self._known: list[Node] = []
        self._asked_at = 0.0
        self._doubtful = True
        self._guard = (os.getpid(), threading.Lock())

    def node_of(self, key: Argument) -> Node:
        """Give the node that serves a key.

        Raises:
            BackendUnavailableError: None does, or no node says so.
        """
        slot = slot_of(key)
        for _ in range(2):
            self._look()
            node = self._table[slot]
            if node is not None:
                return node
            self._doubtful = True
        raise BackendUnavailableError(f"Redis cannot serve now: no node of the cluster serves slot {slot}")

    def primaries(self) -> list[Node]:
        """Give the nodes that serve slots, in the order of their first slot."""
        self._look()
        return list(dict.fromkeys(node for node in self._table if node is not None))

    def connection(self, key: str | None, socket_timeout: float | None) -> Connection:
        """Make an unconnected connection to the node of a key, else to any; the table is asked for again.

        Whoever connects has just begun, or has lost a node: what the table says may be over.
        """
        self._doubtful = True
        if key is not None:
            return self._connect(self.node_of(key), socket_timeout)
        self._look()
        return self._connect(random.choice(self._known), socket_timeout)  # noqa: S311  (spreads load)

    def connection_to(self, node: Node, socket_timeout: float | None) -> Connection:
        """Make an unconnected connection to a node."""
        return self._connect(node, socket_timeout)

    def moved(self, redirect: Redirect, asked: Node) -> Node:
        """Note where a slot is, if it is there for good.

        Args:
            redirect: What the node said.
            asked: Which node.

        Returns:
            Where to go.
        """
        node = self._remap((redirect.host or asked[0], redirect.port))
        if not redirect.once:
            if self._table:
                self._table[redirect.slot] = node
            self._doubtful = True
        return node

    def doubt(self) -> None:
        """Have the table asked for again before it is used next: a node is not what it was."""
        self._doubtful = True

    @property
    def settled(self) -> bool:
        """Whether the table can be used as it is: no question is looked up now."""
        return bool(self._table) and (not self._doubtful or time.monotonic() - self._asked_at < _FRESH_S)

    def _look(self) -> None:
        if self.settled:
            return
        with self._lock():
            if not self.settled:  # another thread may have asked meanwhile
                self._ask_around()

    def _ask_around(self) -> None:
        # Any node will do; a node that lags behind sends us on, and so corrects itself.
        known = random.sample(self._known, len(self._known))
        failure: AlsekError = BackendUnavailableError("Redis did not answer: no node of the cluster is known")
        for node in dict.fromkeys([*known, *self._seeds]):
            try:
                table, nodes = _read(self._ask(node), node, self._remap)
            except BackendAuthenticationError:
                raise
            except AlsekError as error:
                failure = error
                continue
            if nodes:
                self._table, self._known = table, nodes
                self._asked_at, self._doubtful = time.monotonic(), False
                return
            failure = BackendUnavailableError("Redis cannot serve now: CLUSTERDOWN no slot of the cluster is served")
        raise failure

    def _ask(self, node: Node) -> Any:
        connection: Any = self._connect(node, _ANSWER_S)
        connection.socket_connect_timeout = min(connection.socket_connect_timeout or _ANSWER_S, _ANSWER_S)
        try:
            connection.connect()
            connection.send_packed_command([pack(("CLUSTER", "SLOTS"))], check_health=False)
            return connection.read_response(disable_decoding=True)
        except (redis_errors.RedisError, OSError) as error:
            failure = translate(error, sent=False)
            if isinstance(failure, BackendDataError):
                failure = BackendDataError(f"{node[0]}:{node[1]} is no node of a cluster: {error}")
            raise failure from error
        finally:
            connection.disconnect()

    def _lock(self) -> threading.Lock:
        pid, lock = self._guard
        if pid != os.getpid():  # our parent's may be held by a thread that is not here
            self._guard = (os.getpid(), lock := threading.Lock())
        return lock


def slot_of(key: Argument) -> int:
    """Give the slot of a key."""
    return int(key_slot(key if isinstance(key, bytes) else str(key).encode()))


def _read(ranges: list[list[Any]], asked: Node, remap: Callable[[Node], Node]) -> tuple[list[Node | None], list[Node]]:
    table: list[Node | None] = [None] * SLOTS
    known: dict[Node, None] = {}
    for first, last, *nodes in ranges:
        for i, (host, port, *_) in enumerate(nodes):
            name = host.decode() if isinstance(host, bytes) else ""
            # A node that does not know its own address is the one that we asked; "?" is one that nobody knows.
            if name == "?":
                continue
            node = remap((name or asked[0], int(port)))
            known[node] = None
            if i == 0:
                table[first : last + 1] = [node] * (last + 1 - first)
    return table, list(known)
