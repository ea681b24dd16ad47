"""Fresh processes in milliseconds: a clean process imports once and forks per run.

`Warm` is the side of the tests; run as `python -m harness.warm module...` this file is
the other side. It stays single-threaded and opens no connection, so each fork is as
good as a new process.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from harness.eventually import PATIENCE, eventually
from harness.procfs import kill_now, running
from harness.spawn import die_with_parent, spawn


class Warm:
    """A process that runs functions by name in forked children, one at a time."""

    def __init__(self, modules: Sequence[str], *, directory: Path, env: Mapping[str, str] | None = None) -> None:
        """Start it and import.

        Args:
            modules: Imported once, before any fork; name everything heavy.
            directory: Where the log of this process and its children goes.
            env: Added to our environment.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.log_path = directory / "warm.log"
        path = os.pathsep.join(entry for entry in sys.path if entry)
        self._process = spawn(
            [sys.executable, "-m", "harness.warm", *modules],
            log=self.log_path,
            env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"} | dict(env or {}),
            pipes=True,
        )
        self._answer()

    def start(self, target: str, log: Path, **arguments: Any) -> "Run":
        """Call `module:function(**arguments)` in a new child.

        The child before it must have ended. Exit code 0 means it returned, 1 that it raised.

        Args:
            target: Function by name.
            log: Output of the child.
            **arguments: JSON values for the function.
        """
        request = {"target": target, "log": str(log), "arguments": arguments}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return Run(self, int(self._answer()), log)

    def close(self) -> None:
        """End it and its child."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line.decode().strip()
        raise RuntimeError(f"the warm process ended; log:\n{self.log_path.read_text()}")

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


class Run:
    """One forked child."""

    def __init__(self, warm: Warm, pid: int, log: Path) -> None:
        self.pid = pid
        self._warm = warm
        self._log = log
        self._code: int | None = None

    @property
    def log(self) -> str:
        """Its output so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def wait(self, timeout: float = 10.0) -> int:
        """Exit code or negative signal number, once it ended.

        Raises:
            AssertionError: It hung; it is killed then.
        """
        if self._code is None:
            try:
                eventually(lambda: not running(self.pid), timeout, interval=0.001)
            except AssertionError:
                kill_now(self.pid)
                self._code = int(self._warm._answer())
                raise AssertionError(f"the client hung for {timeout * PATIENCE:g} s; log:\n{self.log}") from None
            self._code = int(self._warm._answer())
        return self._code


def _serve(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    print("ready", flush=True)
    while line := sys.stdin.readline():
        request = json.loads(line)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            _run(parent, request)
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(parent: int, request: dict[str, Any]) -> None:
    code = 1
    try:
        die_with_parent(parent)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        module, _, name = request["target"].partition(":")
        getattr(importlib.import_module(module), name)(**request["arguments"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1:])
