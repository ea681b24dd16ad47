"""streaQ: streams, typed scripts, coredis."""

from peerkit.adapter import Adapter, program, serve


class Streaq(Adapter):
    async def open(self):
        await self.tasks.worker.__aenter__()

    async def close(self):
        await self.tasks.worker.__aexit__(None, None, None)

    async def asubmit(self, task, *args):
        return await getattr(self.tasks, task).enqueue(*args)

    async def asubmit_many(self, task, calls):
        enqueue = getattr(self.tasks, task).enqueue
        handles = [enqueue(*call) for call in calls]
        await self.tasks.worker.enqueue_many(handles)
        return handles

    async def afetch(self, handle, timeout):
        return (await handle.result(timeout)).result

    def worker(self):
        return [program("streaq"), "run", "bench_tasks:worker"]


serve(Streaq())
