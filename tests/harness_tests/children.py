"""Programs for the process tests: `python -m harness_tests.children NAME [ARG...]`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.journal import Journal
from harness.server import Server
from harness.spawn import spawn


def server_parent() -> None:
    """Own a server, say where, and wait to be killed."""
    server = Server().start()
    print(f"server pid={server.pid} dir={server.directory}", flush=True)
    signal.pause()


def orphan_maker() -> None:
    """Leave a grandchild in a session of its own behind."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    print(f"child pid={child.pid}", flush=True)
    if sys.argv[2:] == ["leave"]:
        os._exit(0)
    signal.pause()


def journal_flood() -> None:
    """Write events until killed."""
    journal = Journal.from_env()
    print("writing", flush=True)
    number = 0
    while True:
        journal.start(f"m{number}", "t", padding="x" * 200)
        number += 1


def journal_fork() -> None:
    """Write before a fork and in the forked child."""
    journal = Journal.from_env()
    journal.start("parent")
    pid = os.fork()
    if not pid:
        journal.start("child")
        os._exit(0)
    os.waitpid(pid, 0)


def polite() -> None:
    """Say three lines and end well on SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    for line in ("first", "second", "second again"):
        print(line, flush=True)
    while True:
        time.sleep(60)


def grandchild_of_spawn() -> None:
    """Spawn from a short thread, outlive the thread, tell whether the child still lives."""
    import threading

    children = []
    argv = [sys.executable, "-c", "import signal; signal.pause()"]
    thread = threading.Thread(target=lambda: children.append(spawn(argv, log=Path(os.devnull))))
    thread.start()
    thread.join()
    print(f"spawned pid={children[0].pid}", flush=True)
    signal.pause()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
