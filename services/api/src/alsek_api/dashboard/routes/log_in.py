"""Logging in with a key, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import COOKIE, Deed, LogInNeeded, check_origin, doing, is_secure, sessions_of, viewer
from alsek_api.dashboard.form import Form, read_form
from alsek_api.dashboard.page import PageRoute, done, pages_of, safe_path
from alsek_api.problems import Problem

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_WRONG = "This key is wrong, expired or revoked."


@router.get("/login")
async def ask(request: Request, next: str = "/") -> Response:  # noqa: A002  the name of the parameter
    """Ask for a key; whoever needs none, or has shown one, is led on."""
    try:
        await viewer(request)
    except (LogInNeeded, Problem):
        request.scope["state"].pop("viewer", None)
        return await pages_of(request).show(request, "login", next=safe_path(next), wrong="")
    return RedirectResponse(safe_path(next), 303)


@router.post("/login")
async def check(request: Request, form: Annotated[Form, Depends(read_form)]) -> Response:
    """Take a key, once."""
    check_origin(request)
    service = service_of(request)
    address = request.client.host if request.client is not None else ""
    target = safe_path(form.text("next", 2_000) or "/")
    service.failures.check(address)
    principal = await service.ring.find(form.text("key", 300))
    if principal is None:
        service.failures.note(address)
        return await pages_of(request).show(request, "login", 401, next=target, wrong=_WRONG)
    if not principal.may("read"):
        wrong = "This key may not look: it lacks the scope read."
        return await pages_of(request).show(request, "login", 403, next=target, wrong=wrong)
    sessions = await sessions_of(request)
    response = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    sessions.keep(response, sessions.begin(principal.id), secure=is_secure(request))
    request.scope["state"]["principal"] = principal
    return response


@router.post("/logout")
async def leave(deed: Annotated[Deed, doing("read")]) -> Response:
    """End the session in this browser."""
    response = await done(deed.request, "You are logged out.", "/login")
    response.delete_cookie(COOKIE, path="/", secure=is_secure(deed.request), httponly=True, samesite="strict")
    return response
