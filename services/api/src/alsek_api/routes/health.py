"""What tells machines how the service is: probes, metrics, and the description of the API itself."""

from __future__ import annotations

from fastapi import APIRouter, Request

from alsek.exceptions import BackendError
from alsek_api.auth.guard import needs, service_of
from alsek_api.bodies import JsonResponse, StrictRoute
from alsek_api.document import describe
from alsek_api.problems import unavailable

router = APIRouter(route_class=StrictRoute, tags=["operations"])


@router.get("/livez")
async def livez() -> JsonResponse:
    """Say that the service answers at all; stays so while Redis is away."""
    return JsonResponse({"status": "ok"})


@router.get("/readyz")
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


@router.get("/startupz")
async def startupz() -> JsonResponse:
    """Say that the service has started."""
    return JsonResponse({"status": "ok"})


@router.get("/v1/openapi.json", **needs("read"), include_in_schema=False)
async def openapi(request: Request) -> JsonResponse:
    """Describe the API."""
    return JsonResponse(describe(request.app))
