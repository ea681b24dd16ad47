"""The stage on which pools are tested: a server, a journal, and programs that run `pool_tasks`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsek.core.message import Message
from harness.eventually import eventually
from harness.journal import Event, Journal, read_journal
from harness.processes import Process, Processes, alsek
from harness.procfs import Found, descendants

if TYPE_CHECKING:
    from alsek.core.broker import Broker

PROGRAMS = Path(__file__).with_name("programs")

#: Queue and mechanism of the tasks in `pool_tasks`.
TASKS = {"in_thread": ("threads", "thread"), "in_process": ("processes", "process"), "in_loop": ("loops", "async")}
COMMANDS = {"in_thread": "thread-pool", "in_process": "process-pool", "in_loop": "async-pool"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A server, a journal, and pools that run `pool_tasks`."""

    processes: Processes
    journal: Journal
    broker: Broker
    url: str

    def program(self, *argv: str, **env: str) -> Process:
        """Start a program in the folder of the test programs."""
        return self.processes.start(argv, env={"ALSEK_REDIS_URL": self.url} | env, cwd=PROGRAMS)

    def pool(self, command: str, *options: str, package: str = "pool_tasks", **env: str) -> Process:
        """Start a pool and wait until it is online."""
        pool = self.program(*alsek(command, package, *options), **env)
        pool.wait_for_line("Worker pool online.")
        return pool

    def submit(self, task: str, how: str = "sleep", seconds: float = 0, **fields: Any) -> Message:
        """Enqueue a message of one of the tasks."""
        queue, mechanism = TASKS.get(task, ("", ""))
        message = Message(
            task, **{"queue": queue, "mechanism": mechanism, "kwargs": {"how": how, "seconds": seconds}} | fields
        )
        self.broker.submit(message)
        return message

    def events(self, message: Message, kind: str = "") -> list[Event]:
        """What the journal says about a message."""
        events = read_journal(self.journal.directory)
        return [event for event in events if event.uuid == message.uuid and event.kind in (kind or event.kind)]

    def wait(self, message: Message, kind: str, count: int = 1, timeout: float = 10.0) -> Event:
        """The `count`-th event of a kind, as soon as it is there."""
        eventually(
            lambda: len(self.events(message, kind)) >= count,
            timeout,
            what=lambda: f"{count} x {kind} of {message.summary}: {self.events(message)}\n{self.logs()}",
        )
        return self.events(message, kind)[count - 1]

    def deliveries(self, message: Message) -> list[int]:
        """Which delivery each start was."""
        return [event.fields["deliveries"] for event in self.events(message, "START")]

    def ended(self, message: Message, timeout: float = 10.0) -> list[int]:
        """Wait until it has succeeded; gives the deliveries."""
        self.wait_state(message, "S", timeout)
        return self.deliveries(message)

    def error(self, message: Message) -> tuple[str, str]:
        """Name and text of the exception that is stored with a message."""
        found = self.broker.find(message.uuid)
        assert found is not None
        details = found.exception_details
        assert details is not None
        return details.name, details.text or ""

    def hooks(self, message: Message) -> list[str]:
        """The hooks that ran for a message, in order."""
        return [event.op for event in self.events(message, "NOTE") if event.op.startswith("on_")]

    def record(self, message: Message) -> dict[str, str]:
        """The record of a message in Redis."""
        fields = self.broker.redis.record(message.uuid)
        return {name.decode(): value.decode(errors="replace") for name, value in fields.items()}

    def wait_state(self, message: Message, state: str, timeout: float = 10.0) -> dict[str, str]:
        """The record, as soon as it is in a state."""
        eventually(
            lambda: self.record(message).get("s") == state,
            timeout,
            what=lambda: f"state {state} of {message.summary}: {self.record(message)}\n{self.logs()}",
        )
        return self.record(message)

    def logs(self) -> str:
        return "\n".join(process.log for process in self.processes.started)


def workers(pool: Process) -> list[Found]:
    """The child processes that run tasks: children of the fork server."""
    servers = [found for found in descendants(pool.pid) if found.parent == pool.pid and "forkserver" in found.command]
    return [found for server in servers for found in descendants(server.pid) if found.state != "Z"]
