"""Children that cannot outlive the tests.

Every child dies with this process, however it ends: `PR_SET_PDEATHSIG` covers a
SIGKILL of pytest, `atexit` an ordinary exit. The kernel ties that signal to the
*thread* that forked, so all children come from one thread that never ends;
a server restarted by a short-lived test thread would otherwise die with it.
Grandchildren do not inherit the signal, so it hides no missing cleanup of theirs.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue

Child = subprocess.Popen[bytes]

#: Runs between us and the real program, instead of a `preexec_fn`: no Python code in a forked, threaded process.
_LAUNCHER = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pipes: bool = False,
) -> Child:
    """Start a process of its own session that dies when we do.

    Args:
        argv: Program and arguments.
        log: Output is appended here (stderr only when `pipes` is set).
        env: The whole environment of the child; ours when left out.
        cwd: Working directory.
        pipes: Connect stdin and stdout to us instead of the log.
    """
    return _spawner().run(lambda: _popen(argv, log, env, cwd, pipes))


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when the thread that forked it ends.

    Args:
        parent: Pid expected as our parent; we exit if it is already gone.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # 1: PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)


def _popen(argv: Sequence[str], log: Path, env: Mapping[str, str] | None, cwd: Path | None, pipes: bool) -> Child:
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), *argv],
            stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipes else output,
            stderr=output,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
        )
    _children.add(child)
    return child


class _Spawner:
    """Runs functions, one at a time, on a thread that lives as long as the process."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._calls: SimpleQueue[tuple[Callable[[], Child], Future[Child]]] = SimpleQueue()
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def run(self, call: Callable[[], Child]) -> Child:
        future: Future[Child] = Future()
        self._calls.put((call, future))
        return future.result()

    def _serve(self) -> None:
        while True:
            call, future = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as error:  # it belongs to the caller's thread
                future.set_exception(error)


_children: "weakref.WeakSet[Child]" = weakref.WeakSet()
_current: list[_Spawner] = []
_guard = threading.Lock()


def _spawner() -> _Spawner:
    with _guard:
        if not _current or _current[0].pid != os.getpid():
            _current[:] = [_Spawner()]
            _children.clear()
        return _current[0]


@atexit.register
def _end_children() -> None:
    if not _current or _current[0].pid != os.getpid():
        return
    for child in list(_children):
        if child.poll() is None:
            child.kill()
            child.wait()
