"""How a page is made: templates with everything escaped, strict headers, and errors as pages too."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from alsek.exceptions import (
    AlsekError,
    ScheduleConflictError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    SchedulingError,
)
from alsek_api.dashboard.access import FLASH, LogInNeeded, Viewer, is_secure, sessions_of
from alsek_api.dashboard.assets import Assets
from alsek_api.dashboard.wording import FILTERS, call, percent, span
from alsek_api.problems import Problem, of_alsek, pointer

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request

#: Scripts and styles only as files of ours, nothing inline, nothing from elsewhere, no frame around us.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

#: Browsers tell our own pages where a form came from, and others nothing.
HEADERS: Final = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}

#: Where the rail leads: icon, words, path, and the key after `g`.
RAIL: Final = (
    ("overview", "Overview", "/"),
    ("queues", "Queues", "/queues"),
    ("messages", "Messages", "/messages"),
    ("dead-letters", "Dead letters", "/dead-letters"),
    ("schedules", "Schedules", "/schedules"),
    ("workers", "Workers", "/workers"),
    ("tasks", "Tasks", "/tasks"),
)


class Pages:
    """Makes pages; one for the whole application."""

    def __init__(self) -> None:
        self.assets = Assets()
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals.update(
            asset=self.assets.url, call=call, span=span, percent=percent, rail=RAIL, segment=segment
        )

    async def show(self, request: Request, template: str, status: int = 200, **facts: Any) -> Response:
        """Make a page.

        Args:
            request: That asked for it.
            template: Its name, without the ending.
            status: Of the response.
            **facts: For the template.
        """
        sessions = await sessions_of(request)
        viewer: Viewer | None = request.scope["state"].get("viewer")
        note = sessions.noted(request.cookies.get(FLASH))
        body = self._templates.get_template(f"{template}.html").render(
            viewer=viewer, note=note, path=request.url.path, here=here(request), now=now_ms(), **facts
        )
        response = HTMLResponse(body, status, HEADERS)
        if note is not None:
            response.delete_cookie(FLASH, path="/", secure=is_secure(request), httponly=True, samesite="strict")
        if viewer is not None and viewer.is_new:
            sessions.keep(response, viewer.session, secure=is_secure(request))
        return response

    def piece(self, template: str, **facts: Any) -> str:
        """Make a piece of a page."""
        return self._templates.get_template(f"{template}.html").render(now=now_ms(), **facts)

    def bare(self, status: int, detail: str) -> Response:
        """Make the page of an error where nothing else can be asked for, Redis least of all."""
        body = self._templates.get_template("error.html").render(
            viewer=None, note=None, path="", here="/", now=now_ms(), code=status, phrase=HTTPStatus(status).phrase,
            detail=detail, again=status == HTTPStatus.SERVICE_UNAVAILABLE,
        )  # fmt: skip
        return HTMLResponse(body, status, HEADERS)


class PageRoute(APIRoute):
    """A route that tells also its errors as a page, and leads to the log-in who is not known."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give the handler, with our endings."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except LogInNeeded:
                return _to_log_in(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                return await _tell(request, Problem(422, f"{pointer(first['loc'])}: {first['msg']}", kind="invalid"))
            except HTTPException as error:
                return await _tell(request, error)
            except AlsekError as error:
                return await _tell(request, _problem_of(error))

        return handled


def pages_of(request: Request) -> Pages:
    """Give what makes the pages."""
    pages: Pages = request.app.state.pages
    return pages


async def done(request: Request, text: str, target: str, *, kind: str = "good") -> Response:
    """Lead on to a page after something was done, and have it say what."""
    sessions = await sessions_of(request)
    response = RedirectResponse(safe_path(target), 303, {"Cache-Control": "no-store"})
    sessions.note(response, kind, text, secure=is_secure(request))
    return response


def safe_path(target: str, fallback: str = "/") -> str:
    """Give a path of ours; what leads elsewhere leads to the fallback."""
    is_ours = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return quote(target, safe="/?&=%:.~+-_,*@!$'()") if is_ours and len(target) < 2_000 else fallback


def here(request: Request) -> str:
    """Give the path and the question of a request, as a form's way back."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def segment(name: str) -> str:
    """Write a name as one segment of a path."""
    return quote(name, safe="")


def now_ms() -> int:
    """Give the time, ms since the epoch."""
    return time.time_ns() // 1_000_000


def _to_log_in(request: Request) -> Response:
    if request.headers.get("hx-request") or request.method != "GET" or "text/event-stream" in request.headers.get(
        "accept", ""
    ):  # fmt: skip
        return pages_of(request).bare(401, "You are not logged in any more. Nothing was done.")
    return RedirectResponse(f"/login?next={quote(here(request), safe='')}", 303, {"Cache-Control": "no-store"})


def _problem_of(error: AlsekError) -> Problem:
    match error:
        case ScheduleConflictError() | ScheduleExistsError():
            return Problem(409, str(error), kind="state")
        case ScheduleNotFoundError():
            return Problem(404, str(error), kind="not-found")
        case SchedulingError():
            return Problem(422, str(error), kind="invalid")
    return of_alsek(error)


async def _tell(request: Request, error: HTTPException) -> Response:
    """Make the page of an error: within the frame where we know who looks and Redis answers."""
    pages = pages_of(request)
    status = error.status_code
    phrase = HTTPStatus(status).phrase
    if request.scope["state"].get("viewer") is None or status >= 500:
        response = pages.bare(status, error.detail)
    else:
        response = await pages.show(
            request, "error", status, code=status, phrase=phrase, detail=error.detail, again=False
        )
    response.headers.update(error.headers or {})
    return response
