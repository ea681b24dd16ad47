"""One measurement of one contender: a fresh server, a fresh tally, its producers and workers."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness.contender import Contender
from harness.processes import Worker
from harness.server import Server
from harness.tallies import Tally


class MeasurementError(RuntimeError):
    """A contender did not do what was asked; the message carries its own last words."""


def in_short(error: str) -> str:
    """Give what happened and the last word about it."""
    lines = error.splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1].strip()}"


class Session:
    """Use as a context manager; ends every process it started."""

    def __init__(
        self,
        contender: Contender,
        *,
        results: bool = False,
        concurrency: int | None = None,
        safe: bool = False,
        records: int = 1_000_000,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.contender = contender
        self._stack = ExitStack()
        self.workers: list[Worker] = []
        self._env = {
            "BENCH_VARIANT": contender.variant,
            "BENCH_RESULTS": "1" if results else "0",
            "BENCH_CONCURRENCY": str(concurrency or ""),
            "BENCH_SAFE": "1" if safe else "0",
            "BENCH_TALLY_RECORDS": str(records),
            **(env or {}),
        }

    def __enter__(self) -> "Session":
        with ExitStack() as opening:
            # In memory, so that no disk writes back what the tasks record.
            shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
            home = opening.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=shared))
            self.folder = Path(home)
            (self.folder / "tally").mkdir()
            self.tally = Tally(self.folder / "tally")
            self.server = opening.enter_context(Server())
            opening.callback(self.stop)
            self._stack = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(self, command: str, *arguments: object) -> dict[str, Any]:
        """Run one command of the adapter and give its answer."""
        with self.converse(command, *arguments) as speaker:
            return speaker.answer()

    @contextmanager
    def converse(self, command: str, *arguments: object) -> Iterator["Speaker"]:
        """Run a command that answers more than once."""
        words = self.contender.command(command, *map(str, arguments))
        log = self.folder / f"{command}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                words, env=self.environment(), cwd=self.folder, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip
        try:
            yield Speaker(process, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def work(self, processes: int = 1) -> list[Worker]:
        """Start that many worker processes."""
        native = self.contender.native_processes
        started = []
        for _ in range(1 if native else processes):
            env = self.environment() | {"BENCH_PROCESSES": str(processes if native else 1)}
            log = self.folder / f"worker-{len(self.workers)}.log"
            worker = Worker(self.contender.command("worker"), env, log, self.folder)
            self.workers.append(worker)
            started.append(worker)
        return started

    def stop(self) -> None:
        """Stop all workers."""
        while self.workers:
            self.workers.pop().stop()

    def expect(self, numbers: int, stall_s: float, cap_s: float = 3600) -> bool:
        """Wait until that many different tasks have started."""
        return self.tally.wait(
            lambda: self.tally.records() >= numbers and self.tally.distinct() >= numbers,
            stall_s,
            cap_s,
        )

    def complaint(self) -> str:
        """Give the workers' last words."""
        return "\n".join(worker.complaint() for worker in self.workers)

    def environment(self) -> dict[str, str]:
        """Give what its processes are told."""
        own = {"BENCH_REDIS_URL": self.server.url, "BENCH_TALLY": str(self.tally.folder)}
        # Bytecode stays cached: every contender boots warm.
        return os.environ | self.contender.environment() | self._env | own


class Speaker:
    """An adapter that is answering."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log

    def answer(self) -> dict[str, Any]:
        """Read the next answer."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])
        raise MeasurementError(f"the adapter ended without an answer:\n{tail}")

    def go_on(self) -> None:
        """Tell it to continue."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
