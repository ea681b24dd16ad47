"""A program that runs a pool in a thread of its own, as upstream's tests do, and stops it by its event."""

import threading
import time

from pool_tasks import journal

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.core.task import task
from alsek.core.worker.thread import ThreadWorkerPool
from alsek.storage.backends.redis import RedisBackend

broker = Broker(RedisBackend())


@task(broker, queue="embedded")
def work(message: Message) -> None:
    journal.start(message.uuid)
    journal.end(message.uuid)


class Pool(ThreadWorkerPool):
    def on_boot(self) -> None:
        print("booted", flush=True)

    def on_shutdown(self) -> None:
        print("shut down", flush=True)


if __name__ == "__main__":
    pool = Pool([work], n_threads=2, n_processes=1)
    runner = threading.Thread(target=pool.run)
    runner.start()
    message = work.generate()
    while broker.exists(message):
        time.sleep(0.01)
    pool.stop_signal.exit_event.set()
    runner.join(10)
    print("ended" if not runner.is_alive() else "hangs", flush=True)
