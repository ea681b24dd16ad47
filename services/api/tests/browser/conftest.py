"""A real headless Chromium, and the shop that it looks at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from api_stage import Stage
from dashboard_site import Site
from dashboard_tab import Tab
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from harness.processes import Processes
from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What a test machine without a screen, a sandbox and a way out needs.
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip

#: Notes in the page whatever its policy forbade.
WATCH_POLICY = """
window.forbidden = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.forbidden.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A service, a worker with the tasks of a small shop, and keys."""
    processes = Processes(tmp_path_factory.mktemp("processes"))
    with Server() as server:
        stage = Stage(processes, server)
        site = Site(stage)
        try:
            site.open_shop()
            yield site
        finally:
            site.close()
            processes.close()
            stage.close()


@pytest.fixture
def context_of(chromium: Browser, shop: Site) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts: browsers that know nothing of each other."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = chromium.new_context(
            base_url=shop.running.url, **{"viewport": {"width": 1280, "height": 860}} | options
        )
        context.set_default_timeout(30_000)
        context.add_init_script(WATCH_POLICY)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def tab(context_of: Callable[..., BrowserContext], shop: Site) -> Iterator[Tab]:
    """A tab in which somebody who may do everything has logged in; nothing may go wrong in it."""
    tab = Tab(context_of().new_page())
    tab.log_in(shop.keys["admin"])
    yield tab
    tab.check()


@pytest.fixture(scope="session")
def gallery() -> Path:
    """Where screenshots are kept; git ignores it."""
    folder = Path(__file__).parents[4] / ".screenshots"
    folder.mkdir(exist_ok=True)
    return folder
