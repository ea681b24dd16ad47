"""A shop that never sleeps: submits an order every few seconds, until it is stopped."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading

from shop import charge, confirm, notify, report

from alsek.exceptions import BackendError

over = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: over.set())
seconds = float(os.environ.get("STOREFRONT_SECONDS", "2"))

for number in itertools.count(1):
    order = f"A-{number}"
    try:
        confirm.delay(order, round(random.uniform(5, 200), 2))
        charge.delay(order)
        notify.delay("customer@example.internal", f"{order} is on its way")
        if number % 10 == 0:
            report.delay(30)
    except BackendError as error:
        print(f"order {order} has to wait: {error}", flush=True)
    if over.wait(seconds):
        break
