"""A real cluster of servers on 127.0.0.1, whose nodes a test may kill, freeze, fail over and drain of slots."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import redis

from harness.eventually import eventually
from harness.server import Server, Setting, free_port

SLOTS = 16_384
#: A loaded machine gossips slowly.
FORMED_S = 30.0


class Cluster:
    """Primaries that share the slots evenly, with or without replicas; start it with `start()` or as a context manager.

    Args:
        primaries: At least three can agree on a fail-over.
        replicas: Of each primary.
        node_timeout_ms: Silence after which the others call a node dead.
        password: Asked of every client and of the nodes themselves.
        config: More directives for every node.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 0,
        *,
        node_timeout_ms: int = 2_000,
        password: str | None = None,
        config: Mapping[str, Setting] | None = None,
    ) -> None:
        directives: dict[str, Setting] = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": node_timeout_ms,
            "cluster-replica-validity-factor": 0,
        }
        if password:
            directives["primaryauth"] = password
        count = primaries * (1 + replicas)
        self.nodes = [
            Server(password=password, config={**directives, "cluster-port": free_port(), **(config or {})})
            for _ in range(count)
        ]
        self.password = password
        self._primaries = primaries

    def start(self) -> Self:
        """Start the nodes, make them one cluster, and wait until all of them say so."""
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        for i, node in enumerate(self.nodes):
            self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if i < self._primaries:
                share = [SLOTS * n // self._primaries for n in (i, i + 1)]
                self.ask(node, "CLUSTER", "ADDSLOTSRANGE", share[0], share[1] - 1)
            if node is not first:
                bus = node.config_get("cluster-port")
                self.ask(first, "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        eventually(
            lambda: all(self._knows_all(node) for node in self.nodes), FORMED_S, what="the nodes know each other"
        )
        for i, node in enumerate(self.nodes[self._primaries :]):
            self.ask(node, "CLUSTER", "REPLICATE", self.node_id(self.nodes[i % self._primaries]))
        eventually(lambda: all(self._is_well(node) for node in self.nodes), FORMED_S, what="the cluster is well")
        return self

    def close(self) -> None:
        """End every node."""
        for node in self.nodes:
            node.close()

    def reset(self) -> None:
        """Drop every key and script; the cluster has to be whole."""
        for node in self.nodes:
            if self.role(node) == "master":
                node.flush(scripts=True)

    @property
    def url(self) -> str:
        """Address for clients: two of the nodes."""
        secret = f":{self.password}@" if self.password else ""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        return f"redis+cluster://{secret}{hosts}"

    def ask(self, node: Server, *command: Any) -> Any:
        """Run one command on one node."""
        with node.client() as client:
            return client.execute_command(*command)

    def node_id(self, node: Server) -> str:
        """Name of a node in the cluster."""
        return _text(self.ask(node, "CLUSTER", "MYID"))

    def role(self, node: Server) -> str:
        """`master` or `slave`."""
        return str(node.info("replication")["role"])

    def serving(self, slot: int) -> Server:
        """The node that serves a slot, as any node alive that can serve sees it."""
        for asked in self.nodes:
            if not asked.alive:
                continue
            try:
                ranges = self.ask(asked, "CLUSTER", "SLOTS")
            except redis.RedisError:
                continue
            for (first, last), primary in _served(ranges):
                if first <= slot <= last:
                    return next(node for node in self.nodes if node.port == primary)
        raise AssertionError(f"nobody serves slot {slot}")

    def replica_of(self, node: Server) -> Server:
        """A live replica of a primary, in step with it."""
        name = self.node_id(node)
        heir = next(other for other in self.nodes if other is not node and other.alive and self._follows(other, name))
        eventually(lambda: heir.info("replication")["master_link_status"] == "up", FORMED_S, what="it is in step")
        return heir

    def _follows(self, node: Server, name: str) -> bool:
        if self.role(node) != "slave":
            return False
        told = _text(self.ask(node, "CLUSTER", "NODES"))
        return name in next(line for line in told.splitlines() if "myself" in line)

    def fail_over(self, slot: int) -> Server:
        """Kill the primary of a slot, and wait until a replica serves it; gives the killed node."""
        killed = self.serving(slot)
        heir = self.replica_of(killed)
        killed.kill()
        eventually(lambda: self.role(heir) == "master", FORMED_S, what="the replica is a primary", interval=0.02)
        return killed

    def migrate(self, slot: int, target: Server, *, pause: Any = lambda: None) -> int:
        """Move a slot key by key while clients go on; gives the number of keys moved.

        Args:
            slot: Which.
            target: Where to.
            pause: Called while the slot is in between, half of its keys moved.
        """
        source = self.serving(slot)
        self.ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.node_id(source))
        self.ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.node_id(target))
        moved = 0
        while keys := self.ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10):
            secret = ["AUTH", self.password] if self.password else []
            self.ask(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *secret, "KEYS", *keys)
            moved += len(keys)
            pause()
        for node in (target, source):
            self.ask(node, "CLUSTER", "SETSLOT", slot, "NODE", self.node_id(target))
        return moved

    def _knows_all(self, node: Server) -> bool:
        told = _text(self.ask(node, "CLUSTER", "NODES")).splitlines()
        return len(told) == len(self.nodes) and not any("handshake" in line for line in told)

    def _is_well(self, node: Server) -> bool:
        info = self.ask(node, "CLUSTER", "INFO")
        # The raw text tells of slots that are ok as well.
        well = info["cluster_state"] == "ok" if isinstance(info, dict) else "cluster_state:ok" in _text(info)
        replication = node.info("replication")
        return well and replication.get("master_link_status", "up") == "up"

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _served(ranges: list[Any]) -> list[tuple[tuple[int, int], int]]:
    if isinstance(ranges, dict):  # redis-py's own shape
        return [(span, int(told["primary"][1])) for span, told in ranges.items()]
    return [((first, last), int(primary[1])) for first, last, primary, *_ in ranges]


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)
