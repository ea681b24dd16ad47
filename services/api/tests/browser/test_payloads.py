"""What attackers put into names, arguments and errors, shown by a real browser: nothing of it may run."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from dashboard_tab import Tab

from alsek.core.schedules import ScheduleStore
from alsek.core.triggers import IntervalTrigger
from alsek.types import ExceptionDetails
from alsek_api.auth.keys import make_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashboard_site import Site
    from playwright.sync_api import BrowserContext

pytestmark = pytest.mark.heavy

#: What no page of ours has within its main part.
INTRUDERS = "main iframe, main math, main base, main style, main script, main img"

CORPUS = (
    "<script>alert('script')</script>",
    "\"><script>alert('attribute')</script>",
    "'><img src=x onerror=alert('img')>",
    "<svg/onload=alert('svg')>",
    "<iframe srcdoc=\"<script>parent.alert('iframe')</script>\"></iframe>",
    "<a href=\"javascript:alert('link')\">x</a>",
    "</title><script>alert('title')</script>",
    "</textarea><script>alert('textarea')</script>",
    "</pre><img src=x onerror=alert('pre')>",
    "<style>*{display:none}</style>",
    "<base href=\"https://evil.example/\">",
    "<form action=\"https://evil.example/\"><button>x</button></form>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert('mutation')>",
    "<div hx-get=\"/\" hx-trigger=\"load\" hx-on:load=\"alert('hx')\">x</div>",
    "{{7*191}} {% raw %} ${alert('template')}",
    "<!--<script>alert('comment')-->",
    "\u2028alert('line')\u2029",
    "\x00\x1b]0;title\x07 control",
    "&lt;script&gt;alert('twice')&lt;/script&gt;",
)  # fmt: skip


def test_nothing_of_the_corpus_runs_on_any_page(tab: Tab, shop: Site) -> None:
    everything = "\n".join(CORPUS)
    waiting = shop.submit("evil", *CORPUS, {one: one for one in CORPUS})
    broken = shop.submit("evil", name="broken")
    broken.exception_details = ExceptionDetails(CORPUS[0], everything, everything).as_dict()
    shop.stage.broker.fail(broken)
    dead = [shop.kill("evil", one) for one in CORPUS]
    shop.inspector.pause("evil", " ".join(CORPUS)[:480].replace("\x00", ""), by=CORPUS[1])
    store = ScheduleStore(shop.stage.broker)
    store.create(
        "evil", "report", IntervalTrigger(hours=1), queue="evil", args=list(CORPUS), kwargs={CORPUS[2]: CORPUS}
    )
    store.mark_broken("evil", store.get("evil").version, everything)

    for path in (
        "/", "/queues", "/queues/evil", "/messages?queue=evil&state=ready", "/messages?queue=evil&state=dead",
        f"/messages/{waiting.uuid}", f"/messages/{broken.uuid}", f"/messages/{dead[0].uuid}",
        "/dead-letters?queue=evil", "/schedules", "/schedules/evil", "/schedules/evil/edit",
        "/workers", "/tasks", "/tasks/send_receipt",
    ):  # fmt: skip
        tab.page.goto(path)
        tab.page.wait_for_timeout(300)
        assert tab.page.locator("h1").is_visible(), path
        assert tab.page.locator(INTRUDERS).count() == 0, path
        assert "1337" not in tab.page.locator("main").inner_text(), path
        tab.check()


@pytest.mark.parametrize("where", ["task", "reason", "search", "cursor", "queue"])
def test_nothing_of_an_address_runs(context_of: Callable[..., BrowserContext], shop: Site, where: str) -> None:
    tab = Tab(context_of().new_page())
    tab.log_in(shop.keys["admin"])
    for payload in CORPUS[:8]:
        for path in ("/messages", "/dead-letters"):
            tab.page.goto(f"{path}?{where}={quote(payload)}")
            assert tab.page.locator("main script, main img, main iframe").count() == 0

    tab.troubles = [one for one in tab.troubles if "status of 4" not in one]  # the browser tells of 404 and 422
    tab.check()


def test_a_name_of_a_key_is_text(context_of: Callable[..., BrowserContext], shop: Site) -> None:
    token, record = make_key("<img src=x onerror=alert('key')>", ["read"])
    shop.stage.keys.add(record)
    tab = Tab(context_of().new_page())

    tab.log_in(token)

    assert "<img src=x" in tab.page.locator(".who").inner_text()
    tab.check()
