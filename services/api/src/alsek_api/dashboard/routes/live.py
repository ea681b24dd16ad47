"""The stream behind live pages, and the files that pages load."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Viewer, viewer
from alsek_api.dashboard.live import EVERYTHING, LiveStream, Publisher
from alsek_api.dashboard.page import PageRoute, pages_of
from alsek_api.dashboard.seeing import message_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/live")
async def live(
    request: Request,
    who: Annotated[Viewer, Depends(viewer)],
    message: Annotated[str, Query(max_length=200)] = EVERYTHING,
) -> Response:
    """Say whenever something changed, of one message or of all queues."""
    if message:
        await message_of(request, who, message)
    state = request.app.state
    publisher: Publisher | None = getattr(state, "publisher", None)
    if publisher is None:  # made here, on the event loop that it lives on
        publisher = state.publisher = Publisher(service_of(request))
    return LiveStream(service_of(request), publisher, who.principal, message)


@router.get("/static/{name:path}")
async def file(request: Request, name: str) -> Response:
    """Give a file that pages load; they are the same for everybody."""
    return pages_of(request).assets.serve(request, name)
