"""The web page: what a person sees of the queues, and does about it, in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

if TYPE_CHECKING:
    from fastapi import FastAPI

router = APIRouter(include_in_schema=False)


def install(app: FastAPI) -> None:
    """Add the pages to an application; its service is at `app.state.service`."""
    app.include_router(router)
