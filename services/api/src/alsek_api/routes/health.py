"""What tells machines how the service is: probes, metrics, and the description of the API itself."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from alsek.exceptions import BackendError
from alsek_api.auth.guard import SCOPE, admit, identify, needs, service_of
from alsek_api.bodies import JsonResponse, StrictRoute
from alsek_api.document import describe
from alsek_api.problems import Problem, unavailable
from alsek_api.routes.examples import problems, shows

router = APIRouter(route_class=StrictRoute, tags=["operations"])


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok"]


_OK = shows({"status": "ok"}, "Yes")


@router.get("/livez", summary="Does it live?", responses={200: _OK}, response_model=Health)
async def livez() -> JsonResponse:
    """Say that the service answers at all; stays so while Redis is away."""
    return JsonResponse({"status": "ok"})


@router.get(
    "/readyz",
    summary="Can it serve?",
    responses={200: _OK, 503: problems()[503]},
    response_model=Health,
)
async def readyz(request: Request) -> JsonResponse:
    """Say whether requests can be served now: Redis answers, and the service does not end."""
    service = service_of(request)
    if service.stopping:
        raise unavailable("The service is ending.")
    try:
        await service.broker.redis.async_link.command("PING")
    except BackendError:
        raise unavailable("Redis does not answer.") from None
    return JsonResponse({"status": "ok"})


@router.get("/startupz", summary="Has it started?", responses={200: _OK}, response_model=Health)
async def startupz() -> JsonResponse:
    """Say that the service has started."""
    return JsonResponse({"status": "ok"})


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    status_code=200,
    response_class=Response,
    responses={
        200: {
            "description": "Metrics",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "example": 'alsek_queue_messages{queue="mail"} 12.0'}
            },
        },
        **problems(),
    },
    openapi_extra={SCOPE: "read", "security": [{"key": ["read"]}]},
)
async def metrics(request: Request) -> Response:
    """Tell Prometheus of the queues and of this service; without a key where `--open-metrics` says so."""
    service = service_of(request)
    if not service.settings.open_metrics:
        principal = await identify(request)
        await admit(request, principal, "read")
        if principal.is_limited:
            raise Problem(403, "Metrics tell of all queues, and this key is limited to some.", kind="forbidden")
    body, kind = await service.ask(service.exposition.render, request.headers.get("accept", "")[:500])
    return Response(body, media_type=kind)


@router.get("/v1/openapi.json", **needs("read"), include_in_schema=False)
async def openapi(request: Request) -> JsonResponse:
    """Describe the API."""
    return JsonResponse(describe(request.app))
