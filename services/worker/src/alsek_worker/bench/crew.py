"""The worker that a measurement starts: a real one, as its users start it, in a process that ends with ours."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

from alsek.embedded.keeper import KeptProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek_worker.bench.plan import Mechanism

#: What a worker gets to end by itself, s.
_PATIENCE_S: Final = 20

_PROGRAM: Final = "alsek_worker.bench.program"


class Crew:
    """A worker pool; leaving the `with` block ends it.

    Args:
        mechanism: Which pool.
        processes: Children of the pool.
        concurrency: Threads or coroutines of each; `None`: the pool's default.
        environment: Of the pool.
    """

    def __init__(
        self, mechanism: Mechanism, processes: int, concurrency: int | None, environment: Mapping[str, str]
    ) -> None:
        options = ["--n-processes", str(processes), "--log-level", "WARNING"]
        if mechanism == "thread":
            options += ["--n-process-floor", str(processes)]
        if concurrency is not None and mechanism != "process":
            options += ["--n-threads" if mechanism == "thread" else "--concurrency", str(concurrency)]
        self._argv = [sys.executable, "-P", "-m", "alsek.cli", f"{mechanism}-pool", _PROGRAM, *options]
        self._environment = environment
        self._words: deque[str] = deque(maxlen=5)

    def __enter__(self) -> Self:
        self._process = KeptProcess(self._argv, env=self._environment)
        Thread(target=self._listen, name="listen", daemon=True).start()
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()

    @property
    def ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """What it said last, in one line; empty if it said nothing."""
        return " / ".join(tuple(self._words))

    def _listen(self) -> None:
        for line in self._process.output:
            self._words.append(line.decode(errors="replace").strip())
