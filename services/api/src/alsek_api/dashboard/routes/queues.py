"""All queues, one queue, and what can be done to one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Deed, Viewer, doing, viewer
from alsek_api.dashboard.pace import pace_of
from alsek_api.dashboard.page import PageRoute, done, pages_of, segment
from alsek_api.dashboard.seeing import check_sees, queues_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Of a list within the page of a queue.
_FEW = 10


@router.get("/queues")
async def all_queues(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show all queues."""
    queues = await queues_of(request, who)
    return await pages_of(request).show(request, "queues", queues=queues)


@router.get("/queues/{name}")
async def one_queue(request: Request, name: str, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show one queue: what stands in it, what comes next, what went wrong last."""
    check_sees(who.principal, name)
    service = service_of(request)
    inspector = service.inspector
    queue = await service.ask(inspector.queue, name)
    shown = {}
    for state in ("ready", "running", "delayed"):
        page = await service.ask(inspector.messages, name, state, limit=_FEW)
        shown[state] = [info for info in page.messages if who.principal.sees(name, info.task)]
    pace = await service.ask(pace_of, inspector, [name])
    return await pages_of(request).show(request, "queue", queue=queue, shown=shown, pace=pace)


@router.post("/queues/{name}/pause")
async def pause(name: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Have a queue give nothing for a while."""
    check_sees(deed.principal, name, whole=True)
    reason = deed.form.text("reason", 500)
    await deed.service.ask(deed.service.inspector.pause, name, reason, by=deed.principal.name)
    deed.tell(queue=name)
    return await done(deed.request, f"Queue {name} is paused.", deed.back(f"/queues/{segment(name)}"))


@router.post("/queues/{name}/resume")
async def resume(name: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Let a queue go on."""
    check_sees(deed.principal, name, whole=True)
    await deed.service.ask(deed.service.inspector.resume, name)
    deed.tell(queue=name)
    return await done(deed.request, f"Queue {name} goes on.", deed.back(f"/queues/{segment(name)}"))
