"""What an operator asks, timed, with many messages in many queues."""

import gc
from time import perf_counter

#: Messages of each queue that are delayed, and that are dead; at most a quarter each.
SOME = 200
#: Messages of a page, as the dashboard and the HTTP API ask for.
PAGE = 50
ROUNDS = 40


async def look(adapter, n, queues):
    """Fill the queues, then give the milliseconds of each question, round by round."""
    from alsek.tools.inspector import Inspector

    add, broker = adapter.tasks.add, adapter.tasks.broker
    names = [f"queue-{i:02}" for i in range(int(queues))]
    for name in names:
        some = min(SOME, int(n) // len(names) // 4)
        left = int(n) // len(names) - 2 * some
        for start in range(0, left, 5_000):
            add.generate_many([{"args": (1, 2)}] * min(5_000, left - start), queue=name)
        add.generate_many([{"args": (1, 2)}] * some, queue=name, delay=3_600_000)
        for message in add.generate_many([{"args": (1, 2)}] * some, queue=name):
            broker.revoke(message)
    inspector = Inspector(broker)
    middle, later = names[len(names) // 2], None
    for _ in range(5):  # a cursor in the middle of the queue
        later = inspector.messages(middle, limit=500, cursor=later).cursor or later
    uuid = inspector.messages(middle, limit=PAGE).messages[-1].uuid
    questions = {
        "overview": inspector.queues,
        "workers": inspector.workers,
        "first_page": lambda: inspector.messages(middle, limit=PAGE),
        "later_page": lambda: inspector.messages(middle, limit=PAGE, cursor=later),
        "delayed": lambda: inspector.messages(middle, "delayed", limit=PAGE),
        "dead": lambda: inspector.messages(middle, "dead", limit=PAGE),
        "of_no_task": lambda: inspector.messages(middle, task="nobody's", limit=PAGE),
        "message": lambda: inspector.message(uuid),
        "explain": lambda: inspector.explain(uuid),
        "hour": lambda: inspector.throughput(middle, 60),
    }
    gc.collect()
    times = {name: [_ms(ask) for _ in range(ROUNDS)] for name, ask in questions.items()}
    counted = sum(q.ready + q.delayed + q.dead for q in inspector.queues())
    return {"ms": times, "messages": counted}


def _ms(ask):
    begin = perf_counter()
    ask()
    return (perf_counter() - begin) * 1000
