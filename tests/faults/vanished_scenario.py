"""Runs in a network of its own (`unshare -n`): the peer of every connection of a pool vanishes without a word.

No packet of these connections passes any more, in either direction; new connections are as usual. So does a host that
lost its power, or a firewall that forgot. Prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from faults.arena import KINDS, Arena
from harness.journal import Journal
from harness.processes import Processes
from harness.server import Server


def main(folder: str) -> None:
    _ip("link", "set", "lo", "up")
    journal, processes = Journal(Path(folder) / "journal"), Processes(Path(folder) / "processes")
    with Server() as server:
        arena = Arena(processes, journal, server, 0)
        arena.one("in_thread")
        client = arena.broker.redis.conn
        ours = {entry["addr"] for entry in client.client_list()}
        pool = arena.pool("worker", "--n-threads", "2", "--n-processes", "1")
        for kind in KINDS:
            arena.one(f"in_{kind}")
        arena.drained()
        theirs = [entry["addr"].rpartition(":")[2] for entry in client.client_list() if entry["addr"] not in ours]

        # The table of local addresses answers first; let ours come before it.
        _ip("rule", "add", "pref", "100", "lookup", "local")
        _ip("rule", "del", "pref", "0")
        for port in theirs:
            for source, target in ((port, str(server.port)), (str(server.port), port)):
                _ip("rule", "add", "pref", "10", "ipproto", "tcp", "sport", source, "dport", target, "blackhole")
        begun = time.monotonic()
        messages = [arena.one(f"in_{kind}") for kind in KINDS]
        healed = {}
        for message in messages:
            arena.wait(message, "END", timeout=60)
            healed[message.task_name] = round(time.monotonic() - begun, 2)
        arena.drained()
        verdict = arena.verdict()
        left = pool.terminate()
        arena.close()
    processes.close()
    print(json.dumps({"verdict": str(verdict), "cut": len(theirs), "healed": healed, "code": left,
                      "duplicated": verdict.duplicated}))  # fmt: skip


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
