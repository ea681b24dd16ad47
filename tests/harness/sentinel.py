"""A real primary with a replica, watched by three real Sentinels, on 127.0.0.1."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import redis

from harness.eventually import eventually
from harness.server import Server, Setting

#: A loaded machine needs a moment to notice and to vote.
AGREED_S = 90.0


class Sentinel(Server):
    """One Sentinel: the same program in another mode."""

    def _directives(self, appendonly: bool, appendfsync: str, extra: Mapping[str, Setting]) -> dict[str, Setting]:
        ours: dict[str, Setting] = {"bind": "127.0.0.1", "port": self.port, "dir": str(self.directory)}
        if self.password:
            ours["requirepass"] = self.password
        return ours | dict(extra)

    def _command(self, path: str) -> list[str]:
        return [self.binary, path, "--sentinel"]


class Sentinels:
    """The whole installation; start it with `start()` or as a context manager.

    Args:
        name: Of the primary.
        replicas: How many.
        down_after_ms: Silence after which a Sentinel calls a server dead.
        careful: A primary without a replica that listens refuses writes (`min-replicas-to-write`).
        password: Of the servers.
        sentinel_password: Of the Sentinels.
    """

    def __init__(
        self,
        name: str = "tasks",
        replicas: int = 1,
        *,
        down_after_ms: int = 1_000,
        careful: bool = False,
        password: str | None = None,
        sentinel_password: str | None = None,
    ) -> None:
        self.name = name
        self.password = password
        self.sentinel_password = sentinel_password
        common: dict[str, Setting] = {"primaryauth": password} if password else {}
        if careful:
            common |= {"min-replicas-to-write": 1, "min-replicas-max-lag": 2}
        primary = Server(password=password, config=common)
        self.servers = [primary]
        for _ in range(replicas):
            config = common | {"replicaof": f"127.0.0.1 {primary.port}", "repl-diskless-sync-delay": 0}
            self.servers.append(Server(password=password, config=config))
        self._down_after_ms = down_after_ms
        self.sentinels = [Sentinel(password=sentinel_password) for _ in range(3)]

    def start(self) -> Self:
        """Start everything, and wait until the replicas are in step and the Sentinels know each other."""
        for server in self.servers:
            server.start()
        eventually(lambda: all(map(self._in_step, self.servers[1:])), AGREED_S, what="the replicas are in step")
        for sentinel in self.sentinels:
            sentinel.start()
            self._ask(sentinel, "SENTINEL", "MONITOR", self.name, "127.0.0.1", self.servers[0].port, 2)
            for option, value in {"down-after-milliseconds": self._down_after_ms, "failover-timeout": 6_000}.items():
                self._ask(sentinel, "SENTINEL", "SET", self.name, option, value)
            if self.password:
                self._ask(sentinel, "SENTINEL", "SET", self.name, "auth-pass", self.password)
        eventually(lambda: all(map(self._knows_all, self.sentinels)), AGREED_S, what="the Sentinels know each other")
        return self

    def close(self) -> None:
        """End every process."""
        for server in (*self.sentinels, *self.servers):
            server.close()

    @property
    def url(self) -> str:
        """Address for clients."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        secret = f":{self.password}@" if self.password else ""
        query = f"?sentinel_password={self.sentinel_password}" if self.sentinel_password else ""
        return f"redis+sentinel://{secret}{hosts}/{self.name}{query}"

    @property
    def primary(self) -> Server:
        """Whom the Sentinels name now."""
        _, port = self._ask(self.sentinels[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return next(server for server in self.servers if server.port == int(port))

    def fail_over(self) -> Server:
        """Kill the primary, and wait until all Sentinels name another; gives the killed one."""
        killed = self.primary
        killed.kill()
        self.wait_for_another(killed)
        return killed

    def switch(self) -> Server:
        """Have the Sentinels make another the primary while all are well; gives the former one."""
        former = self.primary
        self._ask(self.sentinels[0], "SENTINEL", "FAILOVER", self.name, "COORDINATED")
        self.wait_for_another(former)
        return former

    def wait_in_step(self) -> None:
        """Return once every other server is a replica in step with the primary: only then another fail-over works."""
        primary = self.primary
        others = [server for server in self.servers if server is not primary]
        eventually(lambda: all(map(self._in_step, others)), AGREED_S, what="the replicas are in step")
        eventually(lambda: all(map(self._knows_all, self.sentinels)), AGREED_S, what="the Sentinels know of them")

    def wait_for_another(self, former: Server) -> None:
        """Return once all Sentinels name another primary, and it is one."""

        def agreed() -> bool:
            ports = {self._ask(one, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)[1] for one in self.sentinels}
            return len(ports) == 1 and int(ports.pop()) != former.port

        eventually(agreed, AGREED_S, what="the Sentinels name another primary", interval=0.02)
        eventually(lambda: self.primary.info("replication")["role"] == "master", AGREED_S, what="it is one")

    def _in_step(self, server: Server) -> bool:
        try:
            facts = server.info("replication")
        except redis.ConnectionError:  # it has just been made a replica, and dropped its clients
            return False
        return facts["role"] == "slave" and facts["master_link_status"] == "up"

    def _knows_all(self, sentinel: Server) -> bool:
        with sentinel.client(decode_responses=True) as client:
            facts: Any = client.execute_command("SENTINEL", "MASTER", self.name)
        others = len(self.sentinels) - 1
        known = {name: int(facts[name]) for name in ("num-other-sentinels", "num-slaves")}
        return known == {"num-other-sentinels": others, "num-slaves": len(self.servers) - 1}

    def _ask(self, sentinel: Server, *command: Any) -> Any:
        with sentinel.client(decode_responses=True) as client:
            return client.execute_command(*command)

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
