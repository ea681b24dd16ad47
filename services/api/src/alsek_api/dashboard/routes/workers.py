"""The workers, and what each of them does right now."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from alsek.tools.inspector import WorkerInfo
from alsek_api.auth.guard import service_of
from alsek_api.auth.keys import Principal
from alsek_api.dashboard.access import Viewer, viewer
from alsek_api.dashboard.page import PageRoute, pages_of

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/workers")
async def all_workers(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show all workers."""
    service = service_of(request)
    found = [_seen(worker, who.principal) for worker in await service.ask(service.inspector.workers)]
    workers = sorted((one for one in found if one is not None), key=lambda one: (one.host, one.started))
    return await pages_of(request).show(request, "workers", workers=workers)


def _seen(worker: WorkerInfo, principal: Principal) -> WorkerInfo | None:
    """Give of a worker what a key may see; `None`: nothing."""
    queues = tuple(queue for queue in worker.queues if principal.sees(queue))
    running = tuple(one for one in worker.running if principal.sees(one.queue, one.task))
    return replace(worker, queues=queues, running=running) if queues or not principal.is_limited else None
