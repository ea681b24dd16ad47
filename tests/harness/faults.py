"""Which command meets which fault: counting, planning and the dice."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from harness.resp import Args

FaultKind = Literal["cut_before", "cut_after", "drop_reply"]

#: How connections are set up differs between client releases; tests count what follows.
SETUP_COMMANDS = frozenset({b"HELLO", b"AUTH", b"CLIENT", b"SELECT", b"PING"})


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one command."""

    #: `cut_before`: never forwarded. `cut_after`: forwarded, reset at once. `drop_reply`: run, reply swallowed, reset.
    kind: FaultKind
    #: Runs on the proxy's thread once all earlier commands are answered (and this one has run, if it
    #: is to run) and before the connection is reset; SIGKILL the client here.
    then: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One counted command."""

    k: int
    connection: int
    args: Args

    @property
    def label(self) -> str:
        """Name and first arguments, readable."""
        return " ".join(arg[:24].decode("utf-8", "backslashreplace") for arg in self.args[:3])


class FaultPlan:
    """Counts commands and picks those that fail; rules may be set from any thread."""

    def __init__(self, *, ignored: frozenset[bytes] = SETUP_COMMANDS, record: bool = True) -> None:
        """Start without a fault.

        Args:
            ignored: Names of commands that pass uncounted and unharmed.
            record: Keep every counted command in `seen`.
        """
        #: Counted commands since the last `recount`.
        self.count = 0
        #: The same per connection, by connection number from 1.
        self.counts: dict[int, int] = {}
        self.seen: list[Seen] = []
        #: Numbers of the commands that met a fault.
        self.fired: list[int] = []
        #: Asked for every counted command (number, arguments) before it is forwarded.
        self.on_command: Callable[[int, Args], Fault | None] | None = None
        self._record = record
        self._ignored = ignored
        self._plan: dict[int, Fault] = {}
        self._chance: tuple[float, random.Random] | None = None

    def recount(self) -> None:
        """Count from 1 again and forget what was seen and fired; rules stay."""
        self.count, self.counts, self.seen, self.fired = 0, {}, [], []

    def forgive(self) -> None:
        """Forget every planned fault."""
        self._plan, self._chance, self.on_command = {}, None, None

    def cut_before(self, k: int, then: Callable[[], None] | None = None) -> None:
        """Reset the connection instead of forwarding the k-th command from now's count of 1."""
        self._plan[k] = Fault("cut_before", then)

    def cut_after(self, k: int, then: Callable[[], None] | None = None) -> None:
        """Forward the k-th command and reset the client at once."""
        self._plan[k] = Fault("cut_after", then)

    def drop_reply(self, k: int, then: Callable[[], None] | None = None) -> None:
        """Let the k-th command run, swallow its whole reply, then reset the client."""
        self._plan[k] = Fault("drop_reply", then)

    def drop_replies(self, probability: float, seed: int) -> None:
        """Do so to each command by chance, repeatably for one order of commands; 0 ends it."""
        self._chance = (probability, random.Random(seed)) if probability else None

    def judge(self, connection: int, args: Args) -> Fault | None:
        """Count one command and say what happens to it (proxy's thread)."""
        if not args or args[0].upper() in self._ignored:
            return None
        self.count += 1
        k = self.count
        self.counts[connection] = self.counts.get(connection, 0) + 1
        if self._record:
            self.seen.append(Seen(k, connection, tuple(arg[:120] for arg in args[:8])))
        fault = self.on_command(k, args) if self.on_command else None
        fault = fault or self._plan.pop(k, None)
        if fault is None and self._chance and self._chance[1].random() < self._chance[0]:
            fault = Fault("drop_reply")
        if fault:
            self.fired.append(k)
        return fault
