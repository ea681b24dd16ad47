"""The first page: how things stand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Viewer, viewer
from alsek_api.dashboard.pace import pace_of
from alsek_api.dashboard.page import PageRoute, pages_of
from alsek_api.dashboard.seeing import queues_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Queues and dead letters on this page; the others have pages of their own.
_MOST_QUEUES = 12
_MOST_LETTERS = 6


@router.get("/")
async def overview(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show how things stand."""
    queues = await queues_of(request, who)
    totals = {state: sum(getattr(q, state) for q in queues) for state in ("ready", "delayed", "running", "dead")}
    busiest = sorted(queues, key=lambda q: (-(q.running + q.ready), -q.finished_per_minute, -q.delayed, q.name))
    letters = []
    service = service_of(request)
    for queue in sorted((q for q in queues if q.dead), key=lambda q: -q.dead)[:3]:
        page = await service.ask(service.inspector.messages, queue.name, "dead", limit=_MOST_LETTERS)
        letters += [info for info in page.messages if who.principal.sees(queue.name, info.task)]
    pace = await service.ask(pace_of, service.inspector, [q.name for q in busiest])
    letters.sort(key=lambda info: -(info.ended_at or 0))
    return await pages_of(request).show(
        request, "overview", queues=busiest[:_MOST_QUEUES], more=max(0, len(queues) - _MOST_QUEUES), totals=totals,
        oldest_ms=max((q.waiting_ms for q in queues if not q.paused), default=0),
        paused=[q for q in queues if q.paused], letters=letters[:_MOST_LETTERS], count=len(queues),
        pace=pace,
    )  # fmt: skip
