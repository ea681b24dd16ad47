"""An HTTP service under measurement: started on a session's server, found by what it logs, given a key."""

import json
import os
import re
import subprocess
import time
from dataclasses import replace

from harness.contender import Contender
from harness.http_load import Target
from harness.processes import Worker
from harness.session import MeasurementError, Session

#: Seconds that a service has to say where it listens.
BOOT_S = 60


def start(session: Session, *, key: bool = True) -> Target:
    """Start the contender's service, and give where it listens."""
    token = _key(session) if key else ""
    (worker,) = session.work()
    deadline = time.monotonic() + BOOT_S
    while time.monotonic() < deadline and worker.alive:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", worker.log.read_text(errors="replace"))
        if found is not None:
            return Target(int(found[1]), token)
        time.sleep(0.05)
    raise MeasurementError(f"the service did not begin to listen:\n{worker.complaint()}")


def cpu_s(session: Session) -> float:
    """Give the CPU time that the service has used: what counts where others share the machine."""
    return sum(each.cpu_s for each in session.workers[0].footprints())


def beside(session: Session, contender: Contender, variant: str) -> Worker:
    """Start a pool of the same peer on the same server."""
    pool = replace(contender, variant=variant)
    env = session.environment() | {"BENCH_VARIANT": variant}
    worker = Worker(pool.command("worker"), env, session.folder / f"{variant}.log", session.folder)
    session.workers.append(worker)
    return worker


def _key(session: Session) -> str:
    # As people make one; the service would otherwise serve without looking at keys.
    command = [str(session.contender.program("alsek")), "api", "keys", "create", "bench", "--scope", "admin", "--json"]
    done = subprocess.run(
        [*command, "--streams", "10000"],
        env=os.environ | {"ALSEK_REDIS_URL": session.server.url}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return str(json.loads(done.stdout)["token"])
