"""The operations of the API, one module for each kind of thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alsek_api.routes import health

if TYPE_CHECKING:
    from fastapi import APIRouter

ROUTERS: Final[tuple[APIRouter, ...]] = (health.router,)
