"""Real programs under test: started with a log, signalled by pid, never left behind."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from harness.eventually import PATIENCE, eventually
from harness.procfs import Found, marked, send
from harness.spawn import spawn

#: Every descendant inherits it, whatever it forks or whoever adopts it.
MARK_VARIABLE = "ALSEK_TEST_MARK"


class Process:
    """One running program with its own session, log file and mark on its descendants."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        directory: Path,
        name: str = "process",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            argv: Program and arguments; `python("-m", "x")` and `alsek("worker")` build them.
            directory: Where its log goes.
            name: Start of the log's name.
            env: Added to our environment.
            cwd: Working directory.
        """
        self.mark = uuid.uuid4().hex
        self.argv = tuple(argv)
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path = directory / f"{name}-{self.mark[:8]}.log"
        whole = {"PYTHONUNBUFFERED": "1"} | _python_path() | dict(env or {}) | {MARK_VARIABLE: self.mark}
        self._process = spawn(argv, log=self.log_path, env=os.environ | whole, cwd=cwd)

    @property
    def pid(self) -> int:
        """Pid of the program itself."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative signal number, or `None` while it runs."""
        return self._process.poll()

    @property
    def alive(self) -> bool:
        """Whether the program itself has not ended."""
        return self.returncode is None

    @property
    def log(self) -> str:
        """Its output so far, stdout and stderr."""
        return self.log_path.read_text(errors="replace")

    def wait_for_line(self, text: str, timeout: float = 15.0, *, count: int = 1) -> str:
        """Return the `count`-th line holding `text`, as soon as it is in the log.

        Raises:
            AssertionError: It did not come in time, or the program ended without it.
        """

        def found() -> str | None:
            ended = not self.alive
            lines = [line for line in self.log.splitlines() if text in line]
            if len(lines) < count and ended:
                raise AssertionError(f"{self._name} ended ({self.returncode}) without {text!r}; log:\n{self.log}")
            return lines[count - 1] if len(lines) >= count else None

        line = eventually(found, timeout, what=lambda: f"{text!r} from {self._name}; log:\n{self.log}")
        assert line is not None
        return line

    def signal(self, number: int) -> None:
        """Send a signal to the program itself, if it still runs."""
        self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP the program itself (a zombie worker, to its queue)."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self.signal(signal.SIGCONT)

    def pause_tree(self) -> None:
        """SIGSTOP it and every descendant."""
        for found in self.tree():
            send(found.pid, signal.SIGSTOP)

    def resume_tree(self) -> None:
        """SIGCONT it and every descendant."""
        for found in self.tree():
            send(found.pid, signal.SIGCONT)

    def kill(self) -> int:
        """SIGKILL the program itself and return its exit code; descendants are not touched."""
        self._process.kill()
        return self._process.wait()

    def terminate(self, timeout: float = 30.0) -> int:
        """SIGTERM and the exit code.

        Raises:
            AssertionError: It did not end in time.
        """
        self._process.terminate()
        return self.wait(timeout)

    def wait(self, timeout: float = 30.0) -> int:
        """Exit code, once it ended.

        Raises:
            AssertionError: It did not end in time.
        """
        try:
            return self._process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self._name} did not end in {timeout * PATIENCE:g} s; log:\n{self.log}") from None

    def tree(self) -> list[Found]:
        """The program and all its descendants alive, orphans included."""
        return marked(MARK_VARIABLE, self.mark)

    def orphans(self) -> list[Found]:
        """Descendants that outlived the program (empty while it runs)."""
        return [] if self.alive else self.tree()

    def close(self) -> None:
        """SIGKILL everything this program started, itself included."""
        if self.alive:
            self.kill()

        def gone() -> bool:
            for found in self.tree():
                send(found.pid, signal.SIGKILL)
            return not self.tree()

        eventually(gone, what=f"every descendant of {self._name} is gone")

    @property
    def _name(self) -> str:
        return " ".join(self.argv[:6])

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class Processes:
    """The programs of one test, ended together."""

    def __init__(self, directory: Path) -> None:
        """Put logs below `directory`."""
        self.directory = directory
        self.started: list[Process] = []

    def start(
        self,
        argv: Sequence[str],
        *,
        name: str = "process",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start one program, see `Process`."""
        process = Process(argv, directory=self.directory, name=name, env=env, cwd=cwd)
        self.started.append(process)
        return process

    def close(self) -> None:
        """Kill every program and descendant."""
        for process in self.started:
            process.close()


def python(*args: str) -> list[str]:
    """Command line of the Python that runs the tests."""
    return [sys.executable, *args]


def alsek(*args: str) -> list[str]:
    """Command line of the `alsek` program installed beside this Python."""
    return [str(Path(sys.executable).with_name("alsek")), *args]


def _python_path() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
