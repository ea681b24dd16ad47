"""Evidence kept outside Redis, so it survives the server a test breaks.

Each process appends one JSON line per event to its own `O_APPEND` file with a single
`write`, which a SIGKILL of the process cannot tear. Times are the machine-wide
monotonic clock (with libfaketime set `FAKETIME_DONT_FAKE_MONOTONIC=1`).
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

Kind = Literal["START", "END", "FAIL", "CALL", "OK", "ERR", "UNKNOWN", "NOTE"]

#: Where a process under test finds the journal of its test.
JOURNAL_VARIABLE = "ALSEK_JOURNAL"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a journal."""

    kind: Kind
    uuid: str
    #: Nanoseconds of the monotonic clock, comparable between processes of one machine.
    t: int
    pid: int
    #: Fencing token of the claim the event happened under, if any.
    token: str | None
    #: Verb of a call (`submit`, `ack`, ...), empty for START/END/FAIL.
    op: str
    fields: dict[str, Any]


class Journal:
    """Writer for this process; cheap to make, safe to pickle, fork and share.

    The file is opened by the first event of each process. A task writes `start`
    before its side effect, a client writes `call` before the request.
    """

    def __init__(self, directory: str | Path) -> None:
        """Write below `directory`, which is made if missing."""
        self.directory = Path(directory)
        self._handle: tuple[int, int] | None = None

    @classmethod
    def from_env(cls) -> Self:
        """The journal named by `ALSEK_JOURNAL`, for use inside tasks.

        Raises:
            KeyError: No journal was announced to this process.
        """
        return cls(os.environ[JOURNAL_VARIABLE])

    def start(self, uuid: str, token: object = None, **fields: Any) -> None:
        """A task began to run."""
        self.write("START", uuid, token=token, **fields)

    def end(self, uuid: str, token: object = None, **fields: Any) -> None:
        """A task ran to its end (not yet acknowledged)."""
        self.write("END", uuid, token=token, **fields)

    def fail(self, uuid: str, token: object = None, **fields: Any) -> None:
        """A task is about to raise: the next start is a retry, not a duplicate."""
        self.write("FAIL", uuid, token=token, **fields)

    def call(self, op: str, uuid: str, token: object = None, **fields: Any) -> None:
        """A client is about to ask for `op` on `uuid`."""
        self.write("CALL", uuid, op=op, token=token, **fields)

    def ok(self, op: str, uuid: str, token: object = None, **fields: Any) -> None:
        """The request was answered with success."""
        self.write("OK", uuid, op=op, token=token, **fields)

    def err(self, op: str, uuid: str, token: object = None, **fields: Any) -> None:
        """The request was refused and surely did nothing."""
        self.write("ERR", uuid, op=op, token=token, **fields)

    def unknown(self, op: str, uuid: str, token: object = None, **fields: Any) -> None:
        """The request may or may not have done its work."""
        self.write("UNKNOWN", uuid, op=op, token=token, **fields)

    @contextmanager
    def calling(
        self,
        op: str,
        uuid: str,
        token: object = None,
        *,
        unknown: tuple[type[BaseException], ...] = (ConnectionError, TimeoutError),
    ) -> Iterator[None]:
        """Record CALL before a block and OK, UNKNOWN or ERR after it; errors fly on.

        Args:
            op: Verb of the call.
            uuid: Message it is about.
            token: Claim it is made under.
            unknown: Exceptions that leave open whether the call took place.
        """
        self.call(op, uuid, token)
        try:
            yield
        except unknown as error:
            self.unknown(op, uuid, token, error=repr(error))
            raise
        except BaseException as error:
            self.err(op, uuid, token, error=repr(error))
            raise
        self.ok(op, uuid, token)

    def write(self, kind: Kind, uuid: str, *, op: str = "", token: object = None, **fields: Any) -> None:
        """Append one event in a single write."""
        line: dict[str, Any] = {"k": kind, "id": str(uuid), "t": time.monotonic_ns()}
        if op:
            line["op"] = op
        if token is not None:
            line["tok"] = str(token)
        if fields:
            line["f"] = fields
        data = json.dumps(line, separators=(",", ":"), default=str) + "\n"
        os.write(self._descriptor(), data.encode())

    def _descriptor(self) -> int:
        pid = os.getpid()
        if self._handle is None or self._handle[0] != pid:
            # No lock: it might be held by another thread during a fork. Two threads that
            # race here open the same file twice, which costs a descriptor and nothing else.
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory / f"{pid}-{time.monotonic_ns()}.jsonl"
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._handle = (pid, os.open(path, flags, 0o644))
        return self._handle[1]

    def __reduce__(self) -> tuple[type["Journal"], tuple[str]]:
        """Travel as the directory alone; the other process opens its own file."""
        return (Journal, (str(self.directory),))


def read_journal(directory: str | Path) -> list[Event]:
    """Every event of every process, in the order of time.

    Raises:
        ValueError: A line is broken; an unfinished last line is left out instead.
    """
    events: list[Event] = []
    for path in sorted(Path(directory).glob("*.jsonl")):
        pid = int(path.name.split("-", 1)[0])
        lines = path.read_bytes().split(b"\n")
        events.extend(_event(json.loads(line), pid) for line in lines[:-1])
    events.sort(key=lambda event: event.t)
    return events


def _event(line: dict[str, Any], pid: int) -> Event:
    return Event(
        kind=line["k"],
        uuid=line["id"],
        t=line["t"],
        pid=pid,
        token=line.get("tok"),
        op=line.get("op", ""),
        fields=line.get("f", {}),
    )
