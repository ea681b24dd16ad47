"""Several programs that come and go together: a signal ends all of them, and so does the end of one."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self

from alsek.embedded.keeper import KeptProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from alsek.cli.terminal import Terminal

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

#: 0, and death by the signal that we sent.
_AS_TOLD: Final = (0, 128 + signal.SIGTERM)

#: The name under which we speak ourselves.
_OURSELVES: Final = "alsek"


@dataclass(frozen=True, slots=True)
class Ended:
    """A program ended by itself, or because it was told to."""

    name: str
    code: int


@dataclass(frozen=True, slots=True)
class Signalled:
    """Somebody wants us to end."""

    number: int


class Troupe:
    """The programs; leaving the `with` block ends them, the last one first.

    Args:
        terminal: Shows what they say.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._members: dict[str, KeptProcess] = {}
        self._codes: dict[str, int] = {}
        self._events: SimpleQueue[Ended | Signalled] = SimpleQueue()
        self._former: dict[int, Any] = {}

    def say(self, text: str) -> None:
        """Tell something about all of them."""
        self._terminal.line(_OURSELVES, text)

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        """Start a command of ours as a member.

        Args:
            name: Stands before its lines.
            command: What follows on `alsek`.
            environment: Variables besides ours.
        """
        # -P: the folder we were started in must not hide modules of the standard library.
        argv = [sys.executable, "-P", "-m", "alsek.cli", *command]
        process = KeptProcess(argv, env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment))

        def show() -> None:
            for line in process.output:
                self._terminal.line(name, line.decode(errors="replace").rstrip("\n"))

        self.add(name, process, show)

    def add(self, name: str, process: KeptProcess, show: Callable[[], None] = lambda: None) -> None:
        """Make a running program a member.

        Args:
            name: Stands before its lines.
            process: The program.
            show: Shows what it says, until it ends.
        """

        def attend() -> None:
            show()
            self._events.put(Ended(name, process.wait()))

        self._members[name] = process
        Thread(target=attend, name=f"attend-{name}", daemon=True).start()

    def wait(self) -> int:
        """Stay until a signal comes or a member ends, then end the others.

        Returns:
            0 after a signal when all ended well; otherwise the code of the member that did not.
        """
        event = self._events.get()
        if isinstance(event, Ended):
            self._codes[event.name] = event.code
            self.say(f"The {event.name} ended with code {event.code}, so the rest is stopped.")
            self._stop()
            return event.code or 1
        self.say("Stopping; once more to hurry.")
        self._stop()
        # A member that was told to end before it had begun dies of that: as it should.
        return next((code for code in self._codes.values() if code not in _AS_TOLD), 0)

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._former[number] = signal.signal(number, self._signalled)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        self._events.put(Signalled(number))

    def _stop(self) -> None:
        # The last one first: it may need those before it to end well.
        for name, process in reversed(self._members.items()):
            if name not in self._codes:
                process.terminate()
            pushes = 0
            while name not in self._codes:
                event = self._events.get()
                if isinstance(event, Ended):
                    self._codes[event.name] = event.code
                else:
                    pushes += 1
                    if pushes == 1:
                        process.terminate()
                    else:
                        process.kill()
