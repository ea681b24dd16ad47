"""A program in a pseudo-terminal: what it shows, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from typing import Final

from harness.eventually import eventually

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\x1b[=>]")


class Terminal:
    """A program in a pseudo-terminal of 40 lines.

    Args:
        argv: The program.
        url: Of the server.
        columns: Of the terminal.
    """

    def __init__(self, argv: list[str], url: str, columns: int = 160) -> None:
        # pytest's own size is nobody's business here.
        env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        env |= {"ALSEK_REDIS_URL": url, "TERM": "xterm-256color"}
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self._fd = theirs
        self.before = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        self.raw = ""

    def press(self, keys: str) -> None:
        self.raw = ""  # what is waited for comes after the key
        os.write(self._ours, keys.encode())

    @property
    def text(self) -> str:
        """All that was shown since the last key, without colours and moves."""
        self._read()
        return _ESCAPES.sub("", self.raw)

    def wait_for(self, pattern: str, timeout: float = 30.0) -> str:
        found = eventually(
            lambda: re.search(pattern, self.text),
            timeout,
            what=lambda: f"{pattern!r} on the screen:\n{self.text[-4000:]}",
        )
        assert found is not None
        return found[0]

    def ended(self) -> int:
        code = eventually(
            lambda: (self._read(), self.process.poll())[1] is not None and (self.process.returncode,), 30,
            what=lambda: f"the end; on the screen:\n{self.text[-2000:]}",
        )  # fmt: skip
        assert code
        return int(code[0])

    @property
    def settings(self) -> list[object]:
        return list(termios.tcgetattr(self._fd))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._fd)

    def _read(self) -> None:
        while select.select([self._ours], [], [], 0.02)[0]:
            self.raw += os.read(self._ours, 65_536).decode(errors="replace")
