"""What people do with the dashboard, done in a real browser: `make e2e-browser`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from alsek.core.schedules import ScheduleStore
from alsek.core.triggers import CronTrigger
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboard_site import Site
    from dashboard_tab import Tab
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.heavy


def test_a_task_is_enqueued_by_its_form_and_seen_to_finish_live(tab: Tab) -> None:
    page = tab.page
    page.get_by_role("link", name="Tasks").click()
    page.get_by_role("link", name="monthly_report").click()
    page.get_by_label("month").fill("2026-11")
    page.get_by_role("spinbutton", name="seconds number").fill("4")
    page.get_by_role("button", name="Enqueue").click()
    page.evaluate("window.same = true")

    expect(page.locator("#progress")).to_be_visible()
    expect(page.locator("h1 .chip")).to_have_text("succeeded", timeout=30_000)

    assert page.evaluate("window.same"), "it was loaded anew instead of being live"


def test_a_running_message_is_revoked(tab: Tab, shop: Site) -> None:
    page = tab.page
    page.goto("/tasks/monthly_report")
    page.get_by_label("month").fill("2027-01")
    page.get_by_role("spinbutton", name="seconds number").fill("120")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("h1 .chip")).to_have_text("running")
    uuid = page.url.rpartition("/")[2]

    page.locator("#revoke summary").click()
    page.get_by_role("button", name="Revoke this message").click()

    expect(page.get_by_role("status").filter(has_text="Revoked.")).to_be_visible()
    expect(page.locator("h1 .chip")).to_have_text("dead")
    eventually(lambda: shop.inspector.message(uuid).state == "dead", timeout=15)


def test_a_dead_letter_is_replayed(tab: Tab, shop: Site) -> None:
    letter = shop.kill("returns", 4711)
    page = tab.page
    page.goto("/dead-letters?queue=returns")

    page.locator(f"#letter-{letter.uuid}").get_by_role("button", name="Replay").click()

    expect(page.get_by_role("status").filter(has_text="Replayed")).to_be_visible()
    assert shop.inspector.message(letter.uuid).state == "ready"


def test_a_queue_is_paused_and_everybody_sees_why(tab: Tab, shop: Site) -> None:
    shop.submit("parcels", 1)
    page = tab.page
    page.goto("/queues/parcels")

    page.get_by_text("Pause", exact=True).click()
    page.get_by_label("Why, for those who wonder").fill("the van is broken")
    page.get_by_role("button", name="Pause the queue").click()
    expect(page.locator("h1 .chip")).to_have_text("paused")
    page.goto("/")
    expect(page.get_by_text("the van is broken")).to_be_visible()
    page.goto("/queues/parcels")
    page.get_by_role("button", name="Resume").click()

    expect(page.locator("h1 .chip")).to_have_count(0)
    assert shop.inspector.queue("parcels").paused is None


def test_a_schedule_is_edited_and_its_fires_are_seen_while_typing(tab: Tab, shop: Site) -> None:
    store = ScheduleStore(shop.stage.broker)
    store.create("stocktaking", "reindex", CronTrigger("0 6 * * *"), queue="search", kwargs={"shelf": "a"})
    page = tab.page
    page.goto("/schedules/stocktaking")
    page.get_by_role("link", name="Edit").click()

    page.get_by_label("Cron expression").fill("45 17 * * *")
    expect(page.locator("#fires li")).to_have_count(10)
    expect(page.locator("#fires li").first).to_contain_text("17:45:00")
    page.get_by_label("Cron expression").fill("99 17 * * *")
    expect(page.locator("#fires")).to_contain_text("99")
    page.get_by_label("Cron expression").fill("45 17 * * *")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status").filter(has_text="is changed")).to_be_visible()
    assert store.get("stocktaking").trigger.data()["expression"] == "45 17 * * *"


def test_the_overview_counts_on_by_itself(tab: Tab, shop: Site) -> None:
    shop.submit("counted", 1)
    page = tab.page
    page.goto("/queues")
    row = page.locator("#queue-counted")
    expect(row.locator("td").nth(1)).to_have_text("1")
    page.evaluate("window.same = true")

    for number in range(4):
        shop.submit("counted", number)

    expect(row.locator("td").nth(1)).to_have_text("5")
    assert page.evaluate("window.same")


def test_what_somebody_types_is_not_swept_away_by_a_live_page(tab: Tab, shop: Site) -> None:
    shop.submit("typing", 1)
    page = tab.page
    page.goto("/queues/typing")
    page.get_by_text("Pause", exact=True).click()
    page.get_by_label("Why, for those who wonder").fill("half a sen")

    for number in range(3):
        shop.submit("typing", number)
    page.wait_for_timeout(2_500)  # two looks of the publisher pass: nothing may come of them

    expect(page.get_by_label("Why, for those who wonder")).to_have_value("half a sen")
    expect(page.get_by_label("Why, for those who wonder")).to_be_visible()


def test_it_is_used_by_the_keyboard_alone(tab: Tab) -> None:
    page = tab.page
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")

    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", name="Queues", exact=True)).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_hidden()
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="Messages")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Find a message")).to_be_focused()


def test_the_theme_is_chosen_and_kept(tab: Tab) -> None:
    page = tab.page
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)

    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    dark = page.evaluate(ground)
    page.reload()

    assert page.evaluate(ground) == dark != light


def test_everything_works_without_scripts(context_of: Callable[..., BrowserContext], shop: Site) -> None:
    shop.submit("plain", 1)
    page = context_of(java_script_enabled=False).new_page()
    page.goto("/login")
    page.get_by_label("API key").fill(shop.keys["admin"])
    page.get_by_role("button", name="Log in").click()
    page.goto("/queues/plain")

    page.get_by_text("Pause", exact=True).click()
    page.get_by_label("Why, for those who wonder").fill("no scripts here")
    page.get_by_role("button", name="Pause the queue").click()

    expect(page.get_by_text("Queue plain is paused.")).to_be_visible()
    pause = shop.inspector.queue("plain").paused
    assert pause is not None
    assert pause.reason == "no scripts here"
    page.goto("/schedules/new")
    expect(page.get_by_role("button", name="Show the next fires")).to_be_visible()


def test_a_form_of_another_site_does_nothing(context_of: Callable[..., BrowserContext], shop: Site) -> None:
    letter = shop.kill("foreign", 1)
    page = context_of().new_page()
    page.goto("/login")
    page.get_by_label("API key").fill(shop.keys["admin"])
    page.get_by_role("button", name="Log in").click()
    page.goto(
        "data:text/html,<form method=post action='" + shop.running.url + f"/messages/{letter.uuid}/purge'><button>go"
    )

    page.get_by_role("button", name="go").click()

    expect(page.get_by_role("heading")).to_be_visible()
    assert shop.inspector.message(letter.uuid).state == "dead"
