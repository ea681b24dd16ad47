"""RQ: a hash and several registries per job."""

from functools import cached_property

from peerkit.adapter import Adapter, options, program, serve


class Rq(Adapter):
    @cached_property
    def queue(self):
        from redis import Redis
        from rq import Queue

        return Queue("bench", connection=Redis.from_url(options().redis_url))

    @cached_property
    def settings(self):
        from rq import Retry

        asked = options()
        found = {"result_ttl": 60 if asked.results else 0}
        return found | ({"retry": Retry(3)} if asked.safe else {})

    def submit(self, task, *args):
        timeout = {"job_timeout": 10} if options().safe else {}
        return self.queue.enqueue(f"bench_tasks.{task}", *args, **self.settings, **timeout)

    def submit_many(self, task, calls):
        from rq import Queue

        timeout = {"timeout": 10} if options().safe else {}
        name = f"bench_tasks.{task}"
        data = [Queue.prepare_data(name, call, **self.settings, **timeout) for call in calls]
        return self.queue.enqueue_many(data)

    def fetch(self, handle, timeout):
        return handle.latest_result(timeout=int(timeout)).return_value

    def worker(self):
        return [program("rq"), "worker", "--url", options().redis_url, "--worker-class", "rq.SimpleWorker",
                "--quiet", "bench"]  # fmt: skip


serve(Rq())
