"""Pictures of every page, by day, by night and in the hand, kept in `.screenshots`; and that none of them is torn."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import pytest
from dashboard_tab import Tab

from alsek.core.schedules import ScheduleStore
from alsek.core.triggers import CronTrigger, DateTrigger, IntervalTrigger
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dashboard_site import Site
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.heavy


def remember_an_hour(shop: Site) -> None:
    """Write counts of the past hour as the engine would have, had somebody waited for it."""
    dice = random.Random(7)
    now = shop.inspector.now_ms() // 60_000
    for queue, pace, held in (("mail", 90, 35), ("billing", 35, 180), ("search", 12, 700)):
        for minute in range(now - 59, now):
            swing = 1 + 0.5 * math.sin(minute / 9) + 0.25 * dice.random()
            done = round(pace * swing)
            failed = dice.choice((0, 0, 0, 1, 2)) if queue == "billing" else 0
            waits = round(done * (4 + 30 * max(0.0, math.sin(minute / 7)) * dice.random()))
            counts = {"s": done, "c": done, "k": done, "r": 2 * failed, "f": failed, "w": waits,
                      "h": round(done * held * (0.9 + 0.2 * dice.random()))}  # fmt: skip
            key = shop.stage.broker.keys.counts(queue, 0, minute // 15)
            shop.stage.broker.redis.links.command(
                "HSET", key, *(word for what, n in counts.items() for word in (f"{minute % 15}{what}", n))
            )


@pytest.fixture(scope="module")
def furnished(shop: Site) -> dict[str, str]:
    """Fill the shop with life; gives the pages by name."""
    remember_an_hour(shop)
    for number in range(60):
        shop.submit("mail", 1_000 + number, f"customer{number}@example.com", name="send_receipt")
    for number in range(12):
        shop.submit("billing", 1_000 + number, 4_990 + number, name="charge_card")
    for number in range(4):
        shop.submit("billing", 2_000 + number, 250_000 + number, name="charge_card")
    running = [shop.submit("reports", f"2026-{month:02}", 240.0, name="monthly_report") for month in (9, 10, 11)]
    for hour in range(8):
        shop.submit("search", f"shelf {hour}", name="reindex", delay=3_600_000 * (hour + 1))

    def dead() -> bool:
        for one in shop.inspector.messages("billing", "delayed").messages:
            shop.inspector.run_now(one.uuid)
        return shop.inspector.queue("billing").dead >= 4

    eventually(dead, timeout=60)
    eventually(lambda: shop.inspector.queue("reports").running >= 3, timeout=30)
    store = ScheduleStore(shop.stage.broker)
    store.create(
        "nightly-report", "monthly_report", CronTrigger("0 2 * * *", "Europe/Vienna"), queue="reports", args=["2026-11"]
    )
    store.create("reindex-shelves", "reindex", IntervalTrigger(minutes=15), queue="search", kwargs={"shelf": "new"})
    store.create("end-of-year", "monthly_report", DateTrigger("2036-12-31T23:00"), queue="reports", paused=True)
    shop.inspector.pause("search", "the index is rebuilt by hand", by="ada")
    for number in range(30):
        shop.submit("search", f"aisle {number}", name="reindex")
    letter = shop.inspector.messages("billing", "dead", limit=1).messages[0]
    return {
        "overview": "/", "queues": "/queues", "queue": "/queues/search", "messages": "/messages?queue=search",
        "message-running": f"/messages/{running[0].uuid}", "message-dead": f"/messages/{letter.uuid}",
        "dead-letters": "/dead-letters?queue=billing", "schedules": "/schedules",
        "schedule": "/schedules/nightly-report",
        "schedule-edit": "/schedules/nightly-report/edit", "workers": "/workers", "tasks": "/tasks",
        "task": "/tasks/charge_card", "missing": "/messages/nothing",
    }  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desk", "phone"])
def test_every_page_is_whole(
    context_of: Callable[..., BrowserContext],
    shop: Site,
    furnished: dict[str, str],
    gallery: Path,
    scheme: str,
    device: str,
) -> None:
    size = {"desk": {"width": 1280, "height": 860}, "phone": {"width": 390, "height": 844}}[device]
    context = context_of(color_scheme=scheme, viewport=size, device_scale_factor=1)
    page = context.new_page()
    page.goto("/login")
    page.screenshot(path=gallery / f"login-{scheme}-{device}.png")
    tab = Tab(page)
    tab.log_in(shop.keys["admin"])

    for name, path in furnished.items():
        page.goto(path)
        page.wait_for_timeout(700)
        page.screenshot(path=gallery / f"{name}-{scheme}-{device}.png", full_page=True)
        wide = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} is {wide} px too wide"
        unnamed = page.evaluate(
            "[...document.querySelectorAll('button, a, summary, input:not([type=hidden]), select, textarea')]"
            ".filter((e) => e.checkVisibility() && !(e.innerText || e.getAttribute('aria-label') || e.title"
            " || (e.labels && e.labels.length))).map((e) => e.outerHTML)"
        )
        assert not unnamed, f"{name}: these have no name for who cannot see them"

    tab.troubles = [one for one in tab.troubles if "status of 404" not in one]
    tab.check()
