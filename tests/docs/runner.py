"""Runs a documentation page the way a reader would: file by file, command by command, in one folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from docs.page import Block

#: A block of the docs is something a reader waits for; none may take longer.
BLOCK_TIMEOUT_S = 60
_SESSION = Path(__file__).with_name("session.py")
_VARIABLE = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?"), "<time>"),
    (re.compile(r"\b\d{10,}\b"), "<number>"),
    (re.compile(r"\s+"), " "),
]


class PageRunner:
    """Executes the blocks of one page, and ends whatever they left running."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder.parent / f"{folder.name}.log"
        self.environment = {**os.environ, **environment}
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment["PYTHONUNBUFFERED"] = "1"
        self._session: subprocess.Popen[bytes] | None = None
        self._answers: int | None = None
        self._background: list[tuple[Block, subprocess.Popen[bytes]]] = []
        #: Where in the log the output of the last executed block begins.
        self._mark = 0

    def __enter__(self) -> Self:
        self.log.touch()
        return self

    def __exit__(self, *error: object) -> None:
        codes = [(block, _end(process)) for block, process in self._background]
        if self._session is not None:
            assert self._session.stdin is not None
            self._session.stdin.close()
            _end(self._session, patience_s=2)
            assert self._answers is not None
            os.close(self._answers)
        for block, code in codes:
            if error[0] is None and code != 0:
                pytest.fail(
                    f"{block.where}: SIGTERM ended it with {code}, not 0\n{self._tail()}",
                    pytrace=False,
                )

    def run(self, block: Block) -> None:
        """Do with a block what its page asks for; fail the test, with the block's place, where it does not work."""
        if "before" in block.directives:
            self._python(block, block.directives["before"])
        match block.action:
            case "write":
                target = self.folder / block.directives["file"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.code, encoding="utf-8")
            case "compare":
                self._compare(block)
            case "background":
                self._start(block)
            case "python":
                self._mark = self.log.stat().st_size
                self._python(block, block.code)
            case "shell":
                self._mark = self.log.stat().st_size
                self._shell(block)

    def _python(self, block: Block, code: str) -> None:
        if self._session is None:
            self._open_session()
        assert self._session is not None
        assert self._session.stdin is not None
        assert self._answers is not None
        request = json.dumps({"code": code, "where": block.where}).encode() + b"\n"
        self._session.stdin.write(request)
        self._session.stdin.flush()
        answer = _read_line(self._answers, BLOCK_TIMEOUT_S)
        if answer is None:
            pytest.fail(f"{block.where}: no end within {BLOCK_TIMEOUT_S} s\n{self._tail()}", pytrace=False)
        self._judge(block, failed=answer != "ok", text=answer)

    def _open_session(self) -> None:
        answers, writing_end = os.pipe()
        with self.log.open("ab") as log:
            self._session = subprocess.Popen(
                [sys.executable, _SESSION, str(writing_end)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=[writing_end],
            )
        os.close(writing_end)
        self._answers = answers

    def _shell(self, block: Block) -> None:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", block.code],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            code = process.wait(BLOCK_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _end(process)
            pytest.fail(f"{block.where}: no end within {BLOCK_TIMEOUT_S} s\n{self._tail()}", pytrace=False)
        self._judge(block, failed=code != 0, text=self._output())

    def _start(self, block: Block) -> None:
        self._mark = self.log.stat().st_size
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {block.code}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._background.append((block, process))
        deadline = time.monotonic() + BLOCK_TIMEOUT_S
        while block.awaited not in self._output():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{block.where}: never said {block.awaited!r}\n{self._tail()}", pytrace=False)
            time.sleep(0.02)

    def _compare(self, block: Block) -> None:
        wanted = [_settled(line) for line in block.code.splitlines() if line.strip() and line.strip() != "..."]
        # Something in the background may still be about to print the line.
        deadline = time.monotonic() + (10 if self._background else 0)
        while missing := _first_missing(wanted, self._output()):
            if time.monotonic() > deadline:
                pytest.fail(f"{block.where}: was not printed: {missing!r}\n{self._tail()}", pytrace=False)
            time.sleep(0.02)

    def _judge(self, block: Block, *, failed: bool, text: str) -> None:
        expected = block.directives.get("fails")
        if expected is None and failed:
            pytest.fail(f"{block.where}: failed\n{self._tail()}", pytrace=False)
        if expected is not None and not (failed and expected in text):
            pytest.fail(f"{block.where}: was to fail with {expected!r}\n{self._tail()}", pytrace=False)

    def _output(self) -> str:
        return self.log.read_bytes()[self._mark :].decode(errors="replace")

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def _settled(line: str) -> str:
    for pattern, replacement in _VARIABLE:
        line = pattern.sub(replacement, line)
    return line.strip()


def _first_missing(wanted: list[str], output: str) -> str | None:
    """The first wanted line that does not stand in the output, in order; `...` inside a line stands for anything."""
    lines = iter([_settled(line) for line in output.splitlines()])
    for line in wanted:
        pattern = re.compile(".*".join(map(re.escape, line.split("..."))) + "$")
        if not any(pattern.match(candidate) for candidate in lines):
            return line
    return None


def _read_line(descriptor: int, timeout_s: float) -> str | None:
    import select

    received = b""
    deadline = time.monotonic() + timeout_s
    while not received.endswith(b"\n"):
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 65536) if ready else b""
        if not chunk:
            return None
        received += chunk
    return str(json.loads(received))


def _end(process: subprocess.Popen[bytes], patience_s: float = 20) -> int:
    if process.poll() is None:
        if process.stdin is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()
