"""Programs that end when we end, whatever ends us.

A parent-death signal alone is not enough: only Linux has it, and it comes when the *thread* that started the program
ends. So a keeper stands between, a bare Python of 15 ms that holds the other end of a pipe.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Ends the program when its own stdin ends, which happens however we end, and passes signals on; SIGQUIT means SIGKILL.
_KEEPER = """
import ctypes, os, select, signal, sys
libc = ctypes.CDLL(None)
keeper = os.getpid()
alarm, bell = os.pipe()
os.set_blocking(bell, False)
signal.set_wakeup_fd(bell)
caught = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
for number in caught:
    signal.signal(number, lambda *_: None)
child = os.fork()
if child == 0:
    signal.set_wakeup_fd(-1)
    for number in caught:
        signal.signal(number, signal.SIG_DFL)
    if sys.platform == "linux":
        libc.prctl(1, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != keeper:
        os._exit(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    finally:
        os._exit(127)
watched = [0, alarm]
while True:
    for ready in select.select(watched, [], [])[0]:
        if ready == 0 and not os.read(0, 1):
            watched = [alarm]
            os.kill(child, signal.SIGTERM)
        elif ready == alarm:
            for number in os.read(alarm, 64):
                if number == signal.SIGCHLD:
                    ended, status = os.waitpid(child, os.WNOHANG)
                    if ended:
                        code = os.waitstatus_to_exitcode(status)
                        os._exit(code if code >= 0 else 128 - code)
                else:
                    os.kill(child, signal.SIGKILL if number == signal.SIGQUIT else number)
"""


class KeptProcess:
    """A program that does not outlive us, and that a Ctrl-C in the terminal does not reach.

    Args:
        argv: Program and arguments.
        stdout: Takes its output, stderr too.
        env: The whole environment; ours when left out.
        pass_fds: Descriptors that stay open for as long as it runs.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        stdout: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._keeper = subprocess.Popen(  # noqa: S603 - argv comes from this package
            [sys.executable, "-I", "-S", "-c", _KEEPER, *argv],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env=env,
            pass_fds=pass_fds,
            start_new_session=True,
        )

    @property
    def output(self) -> IO[bytes]:
        """What it says, if `stdout` is a pipe."""
        assert self._keeper.stdout is not None
        return self._keeper.stdout

    def poll(self) -> int | None:
        """Give its exit code (128 + the signal that ended it), or `None` while it runs."""
        return self._keeper.poll()

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end and give its exit code.

        Raises:
            subprocess.TimeoutExpired: It goes on.
        """
        code = self._keeper.wait(timeout_s)
        if self._keeper.stdin is not None:
            self._keeper.stdin.close()
        return code

    def terminate(self) -> None:
        """Ask it to end; asking again hurries."""
        self._keeper.send_signal(signal.SIGTERM)

    def kill(self) -> int:
        """End it now."""
        self._keeper.send_signal(signal.SIGQUIT)
        return self.wait()
