"""The operations of the API, one module for each kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alsek_api.routes import acting, batch, enqueue, health, looking, messages, schedules

if TYPE_CHECKING:
    from fastapi import APIRouter

ROUTERS: Final[tuple[APIRouter, ...]] = (
    enqueue.router,
    batch.router,
    messages.router,
    acting.router,
    looking.router,
    schedules.router,
    health.router,
)
