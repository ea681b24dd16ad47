"""Alsek, from this repository."""

import os

from peerkit.adapter import Adapter, options, program, serve

#: A peer's lease in the settings for safety, in seconds; 30 by default.
SAFE_LEASE_S = "5"


class Alsek(Adapter):
    def submit(self, task, *args):
        return getattr(self.tasks, task).generate(args=args)

    async def asubmit(self, task, *args):
        return await getattr(self.tasks, task).agenerate(args=args)

    def submit_many(self, task, calls):
        return getattr(self.tasks, task).generate_many([{"args": call} for call in calls])

    def fetch(self, handle, timeout):
        return self.tasks.result_store.get(handle, timeout=int(timeout * 1000))

    def commands(self):
        import bench_schedules
        from looks import look

        return bench_schedules.COMMANDS | {"look": look}

    def worker(self):
        asked = options()
        if asked.variant == "scheduler":
            return [program("alsek"), "scheduler", "--url", asked.redis_url, "--log-level", "WARNING"]
        if asked.variant == "http":
            return [program("alsek"), "api", "--port", "0", "--url", asked.redis_url]
        line = [program("alsek"), f"{asked.variant}-pool", "bench_tasks", "--log-level", "WARNING"]
        if asked.variant == "process":
            line += ["--n_processes", str(asked.concurrency or asked.processes)]
        else:
            line += ["--n_processes", str(asked.processes)]
        if asked.variant == "thread":
            # Groups beyond the floor come only under load; the peers' processes are all there from the start.
            line += ["--n_threads", str(asked.concurrency or 8), "--n_process_floor", str(asked.processes)]
        if asked.variant == "async" and asked.concurrency:
            line += ["--concurrency", str(asked.concurrency)]
        if os.environ.get("BENCH_METRICS"):
            line += ["--metrics-port", os.environ["BENCH_METRICS"]]
        return line + (["--lease", SAFE_LEASE_S] if asked.safe else [])


serve(Alsek())
