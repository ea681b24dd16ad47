"""dramatiq: a script per message, prefetching threads."""

import os

from peerkit.adapter import Adapter, options, program, serve


class Dramatiq(Adapter):
    def submit(self, task, *args):
        return getattr(self.tasks, task).send(*args)

    def fetch(self, handle, timeout):
        return handle.get_result(block=True, timeout=int(timeout * 1000))

    def worker(self):
        asked = options()
        if asked.concurrency is None:
            os.environ["dramatiq_queue_prefetch"] = "200"  # noqa: SIM112  its own spelling
        return [program("dramatiq"), "bench_tasks", "-p", str(asked.processes), "-t", str(asked.concurrency or 4),
                "--skip-logging"]  # fmt: skip


serve(Dramatiq())
