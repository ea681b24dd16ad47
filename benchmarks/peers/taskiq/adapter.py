"""taskiq on a Redis stream or list."""

from peerkit.adapter import Adapter, options, program, serve

#: The best of a sweep, by variant.
SLOTS = {"stream": 20, "list": 100}


class Taskiq(Adapter):
    async def open(self):
        await self.tasks.broker.startup()

    async def close(self):
        await self.tasks.broker.shutdown()

    async def asubmit(self, task, *args):
        return await getattr(self.tasks, task).kiq(*args)

    async def afetch(self, handle, timeout):
        # The default interval, 200 ms, would be all that is measured.
        result = await handle.wait_result(check_interval=0.001, timeout=timeout)
        return result.return_value

    def worker(self):
        asked = options()
        slots = str(asked.concurrency or SLOTS[asked.variant])
        return [program("taskiq"), "worker", "bench_tasks:broker", "--workers", str(asked.processes), "--no-parse",
                "--max-async-tasks", slots, "--max-prefetch", slots if asked.concurrency else "100",
                "--log-level", "WARNING"]  # fmt: skip


serve(Taskiq())
