"""saq: a script and a hash per job, asyncio workers."""

import asyncio
import sys
from pathlib import Path

from peerkit.adapter import Adapter, options, serve

#: saq takes keyword arguments only.
PARAMETERS = {"mark": ("number",), "double": ("number",), "nap": ("number", "seconds"), "add": ("a", "b")}
#: A list, because the states of saq are equal to these words but have other hashes.
TERMINAL = ["complete", "failed", "aborted"]


class Saq(Adapter):
    def __init__(self):
        asked = options()
        self.settings = {} if asked.results else {"ttl": -1}
        if asked.safe:
            self.settings |= {"heartbeat": 5, "retries": 3}

    async def open(self):
        self.queue = self.tasks.queue
        await self.queue.connect()

    async def close(self):
        await self.queue.disconnect()

    async def asubmit(self, task, *args):
        return await self.queue.enqueue(task, **dict(zip(PARAMETERS[task], args, strict=True)), **self.settings)

    async def afetch(self, handle, timeout):
        # What `queue.apply` does, at a shorter interval than its 500 ms.
        async with asyncio.timeout(timeout):
            while True:
                await handle.refresh()
                if handle.status in TERMINAL:
                    return handle.result
                await asyncio.sleep(0.001)

    def worker(self):
        return [sys.executable, str(Path(__file__).with_name("worker.py"))]


serve(Saq())
