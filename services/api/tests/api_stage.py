"""The stage on which the service is tested: a server, the service as a process of its own, workers, and clients."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from alsek.core.broker import Broker
from alsek.storage.backends.redis import RedisBackend
from alsek_api.auth.keys import make_key
from alsek_api.auth.store import KeyStore
from harness.eventually import eventually
from harness.processes import Process, Processes, alsek

if TYPE_CHECKING:
    from harness.server import Server

PROGRAMS = Path(__file__).with_name("programs")


class Stage:
    """A server, and whatever a test starts on it."""

    def __init__(self, processes: Processes, server: Server) -> None:
        self.processes = processes
        self.server = server
        self.broker = Broker(RedisBackend(server.url))
        self.keys = KeyStore(self.broker.redis)
        self.running: Running
        self._clients: list[httpx.Client] = []
        self._worker: Process | None = None
        self._token = ""

    def key(self, *scopes: str, **limits: Any) -> str:
        """Make a key."""
        token, record = make_key("test", scopes, **limits)
        self.keys.add(record)
        return token

    @property
    def token(self) -> str:
        """A key for everything, made anew when the server was emptied."""
        if not self._token or not any(record.id in self._token for record, _ in self.keys.all()):
            self._token = self.key("admin")
        return self._token

    def serve(self, *options: str, url: str | None = None, **env: str) -> Running:
        """Start a service and wait until it listens."""
        process = self.processes.start(
            alsek("api", "--port", "0", *options), env={"ALSEK_REDIS_URL": url or self.server.url} | env
        )
        line = process.wait_for_line("api.listening", timeout=30)
        match = re.search(r"http://[^\s\"]+", line)
        assert match is not None, line
        return Running(process, match[0])

    def worker(self, package: str = "api_tasks", *options: str) -> Process:
        """Start a worker and wait until it is online."""
        worker = self.processes.start(
            alsek("worker", package, *options), env={"ALSEK_REDIS_URL": self.server.url}, cwd=PROGRAMS
        )
        worker.wait_for_line("Worker pool online.", timeout=30)
        return worker

    def work(self, *, anew: bool = False) -> None:
        """Have a worker beside the service, the same one for all tests; a new one says anew what it can do."""
        if anew and self._worker is not None:
            self._worker.terminate()
        if self._worker is None or not self._worker.alive:
            self._worker = self.worker()

    def client(self, running: Running, token: str = "", **options: Any) -> httpx.Client:
        """Give a client of a service."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        client = httpx.Client(base_url=running.url, headers=headers, timeout=30, **options)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.broker.redis.close()


class Running:
    """A service that listens."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it logged, line by line."""
        return [json.loads(line) for line in self.process.log.splitlines() if line.startswith("{")]

    def lines(self, message: str, said: str = "") -> list[dict[str, Any]]:
        """The lines of a kind that say this too, once there are any: a log may come after the answer it is about."""
        return eventually(
            lambda: [line for line in self.log if line["message"] == message and said in str(line)],
            what=lambda: self.process.log,
        )

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])
