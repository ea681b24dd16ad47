"""A small shop: what the dashboard shows when its tests and its pictures are made."""

from __future__ import annotations

import time

from alsek import Broker, current, task
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.result import ResultStore

broker = Broker(RedisBackend())
results = ResultStore(broker.backend)


class CardDeclinedError(Exception):
    """The bank said no."""


@task(broker, queue="mail")
def send_receipt(order: int, to: str, copy: bool = False) -> str:
    """Send the receipt of an order."""
    return f"receipt {order} to {to}{' and the shop' if copy else ''}"


@task(broker, queue="billing", max_retries=1)
def charge_card(order: int, cents: int, currency: str = "EUR") -> int:
    """Charge the card that an order was placed with."""
    if cents > 100_000:
        raise CardDeclinedError(f"order {order}: the bank declined {cents / 100:.2f} {currency}")
    return cents


@task(broker, queue="reports", timeout=600_000)
def monthly_report(month: str, seconds: float = 30.0) -> str:
    """Add up a month, slowly."""
    running = current()
    days = 30
    for day in range(days):
        if running.cancelled:
            break
        running.progress(day, days, f"{month}-{day + 1:02}")
        time.sleep(seconds / days)
    return month


@task(broker, queue="search", result_store=results)
def reindex(shelf: str) -> str:
    """Read a shelf anew."""
    return f"shelf {shelf}"
