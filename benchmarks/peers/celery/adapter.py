"""Celery: kombu on Redis lists."""

from peerkit.adapter import Adapter, options, program, serve


class Celery(Adapter):
    def submit(self, task, *args):
        return getattr(self.tasks, task).apply_async(args)

    def fetch(self, handle, timeout):
        return handle.get(timeout=timeout)

    def worker(self):
        asked = options()
        return [program("celery"), "-A", "bench_tasks", "worker", "-P", asked.variant,
                "-c", str(asked.concurrency or 1), "--without-gossip", "--without-mingle", "--without-heartbeat",
                "-l", "WARNING"]  # fmt: skip


serve(Celery())
