"""A tab of a browser that looks at the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


class Tab:
    """A page of the dashboard in a browser, and whatever went wrong in it.

    Args:
        page: Of a context whose base is the service.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("dialog", lambda dialog: (self.troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("console", lambda line: self.troubles.append(f"console: {line.text}") if line.type == "error" else None)

    def log_in(self, token: str) -> None:
        self.page.goto("/login")
        self.page.get_by_label("API key").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        self.page.get_by_role("heading", name="Overview").wait_for()

    def check(self) -> None:
        """See to it that nothing was forbidden, broken or asked so far."""
        self.troubles += [f"policy: {one}" for one in self.page.evaluate("window.forbidden || []")]
        assert not self.troubles
