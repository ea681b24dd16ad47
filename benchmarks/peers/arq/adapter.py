"""arq: WATCH and MULTI per job, polling asyncio workers."""

import sys
from pathlib import Path

from peerkit.adapter import Adapter, serve


class Arq(Adapter):
    async def open(self):
        from arq import create_pool

        self.pool = await create_pool(self.tasks.WorkerSettings.redis_settings)

    async def close(self):
        await self.pool.aclose()

    async def asubmit(self, task, *args):
        return await self.pool.enqueue_job(task, *args)

    async def afetch(self, handle, timeout):
        return await handle.result(timeout, poll_delay=0.001)

    def worker(self):
        return [sys.executable, str(Path(__file__).with_name("worker.py"))]


serve(Arq())
