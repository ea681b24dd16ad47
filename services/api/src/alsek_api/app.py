"""The application: routes, the guard in front of each, errors, the edge around everything."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute

from alsek_api import dashboard, problems
from alsek_api.auth.guard import SCOPE
from alsek_api.edge import Edge
from alsek_api.routes import ROUTERS
from alsek_api.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from alsek_api.settings import ApiSettings

#: Routes that ask for no key: what says whether the service lives must not depend on one.
PUBLIC: Final = frozenset({"/livez", "/readyz", "/startupz"})

_ABOUT: Final = """Enqueue, watch, revoke and read results of Alsek's tasks.

Every request carries an API key: `Authorization: Bearer ak_...`. Errors are problem details (RFC 9457). Times are
milliseconds since the epoch, durations milliseconds."""


def create_app(settings: ApiSettings) -> FastAPI:
    """Make the application; nothing is connected before the first request.

    Args:
        settings: See `ApiSettings`.
    """
    service = Service(settings)
    app = FastAPI(
        title="Alsek",
        summary="A distributed task queue for Python.",
        description=_ABOUT,
        version=version("alsek-api"),
        openapi_url=None,  # a route of ours, behind the guard
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        separate_input_output_schemas=False,
        redirect_slashes=False,
    )
    app.state.service = service
    problems.install(app)
    for router in ROUTERS:
        app.router.routes.extend(router.routes)  # as they are: including them anew makes each request look twice
    dashboard.install(app)
    check_guards()
    app.add_middleware(Edge, settings=settings, observe=service.metrics.observe)
    return app


def api_routes() -> list[APIRoute]:
    """Give all operations of the API, however they were included; pages of the dashboard guard themselves."""
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def check_guards() -> None:
    """Refuse to serve an operation that forgot to ask for a scope.

    Raises:
        RuntimeError: Which.
    """
    bare = [
        route.path for route in api_routes() if route.path not in PUBLIC and SCOPE not in (route.openapi_extra or {})
    ]
    if bare:
        raise RuntimeError(f"these routes are not guarded: {', '.join(bare)}")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    await service.open()
    try:
        yield
    finally:
        await service.close()
