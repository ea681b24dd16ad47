"""huey: one LPUSH per message, threads that block on BRPOP."""

from peerkit.adapter import Adapter, options, program, serve


class Huey(Adapter):
    def submit(self, task, *args):
        return getattr(self.tasks, task)(*args)

    def fetch(self, handle, timeout):
        return handle.get(blocking=True, timeout=timeout)

    def worker(self):
        threads = str(options().concurrency or 4)
        return [program("huey_consumer"), "bench_tasks.huey", "-w", threads, "-k", "thread", "-n", "-q"]


serve(Huey())
