"""The web page: what a person sees of the queues, and does about it, in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek_api.dashboard.page import Pages
from alsek_api.dashboard.routes import dead_letters, live, log_in, messages, overview, queues, schedules, tasks, workers

if TYPE_CHECKING:
    from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the pages to an application; its service is at `app.state.service`."""
    app.state.pages = Pages()
    app.state.unfinished = set()  # what goes on behind pages; the event loop alone would not hold it
    for page in (overview, queues, messages, dead_letters, schedules, workers, tasks, log_in, live):
        app.include_router(page.router)
