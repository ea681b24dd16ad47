"""Every refusal as problem details (RFC 9457): one form for all errors, and nothing of our insides in it."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from alsek.exceptions import (
    AlsekError,
    BackendError,
    BackendFullError,
    BackendUnavailableError,
    MessageAlreadyExistsError,
    MessageDoesNotExistsError,
    MessageStateError,
    PayloadTooLargeError,
    QueueStateError,
    ScheduleConflictError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    SchedulingError,
    UnknownQueueError,
    UnknownTaskError,
    ValidationError,
)
from alsek.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request

log = get_logger("alsek.api")

MEDIA_TYPE = "application/problem+json"

#: What a client waits before it asks again while Redis is away, seconds.
RETRY_AFTER_S = 2


class Problem(HTTPException):
    """A request cannot be served, for a reason that its sender should know.

    Args:
        status: Of the response.
        detail: What is the matter, and what to do about it.
        kind: Of problem, as the last part of its `type`.
        headers: To add to the response.
        **facts: More members of the body.
    """

    def __init__(
        self, status: int, detail: str, *, kind: str = "", headers: Mapping[str, str] | None = None, **facts: Any
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.kind = kind
        self.facts = facts


def problem_response(problem: Problem, request_id: str = "") -> Response:
    """Give the response that tells of a problem."""
    return Response(
        encode_problem(problem, request_id),
        problem.status_code,
        dict(problem.headers or {}),
        MEDIA_TYPE,
    )


def problem_fields(problem: Problem) -> dict[str, Any]:
    """Give the members that tell of a problem."""
    return {
        "type": f"urn:alsek:problem:{problem.kind}" if problem.kind else "about:blank",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.detail,
        **problem.facts,
    }


def encode_problem(problem: Problem, request_id: str = "") -> bytes:
    """Give the body that tells of a problem."""
    fields = problem_fields(problem)
    return msgspec.json.encode(fields | {"request_id": request_id} if request_id else fields)


def of_alsek(error: AlsekError) -> Problem:
    """Give the problem that an error of the core stands for."""
    match error:
        case BackendUnavailableError():
            unknown = " It is not known whether the request was carried out: repeat it." if error.ambiguous else ""
            return unavailable(f"Redis does not answer.{unknown}", outcome="unknown" if error.ambiguous else "refused")
        case BackendFullError():
            return unavailable("Redis is full and stores nothing more for now.", outcome="refused")
        case BackendError():
            log.error("redis.refused", error=str(error))
            return unavailable("Redis cannot do this now; the log of the service says why.", outcome="refused")
    for kind, status, name in _MISTAKES:
        if isinstance(error, kind):
            return Problem(status, str(error), kind=name)
    raise error


#: The caller's mistakes, the special ones first.
_MISTAKES: Final[tuple[tuple[type[AlsekError], int, str], ...]] = (
    (PayloadTooLargeError, 413, "payload-too-large"),
    (MessageAlreadyExistsError, 409, "message-exists"),
    (MessageStateError, 409, "state"),
    (QueueStateError, 409, "state"),
    (MessageDoesNotExistsError, 404, "no-such-message"),
    (UnknownQueueError, 404, "no-such-queue"),
    (UnknownTaskError, 404, "no-such-task"),
    (ScheduleNotFoundError, 404, "no-such-schedule"),
    (ScheduleExistsError, 409, "schedule-exists"),
    (ScheduleConflictError, 412, "changed"),
    (SchedulingError, 422, "invalid"),
    (ValidationError, 422, "invalid"),
)


def unavailable(detail: str, **facts: Any) -> Problem:
    """Give the problem of a service that cannot serve for a moment."""
    return Problem(503, detail, kind="unavailable", headers={"Retry-After": str(RETRY_AFTER_S)}, **facts)


def too_many(detail: str, wait_s: float, headers: Mapping[str, str] | None = None) -> Problem:
    """Give the problem of a client that asks too often."""
    wait = str(max(1, math.ceil(wait_s)))
    return Problem(429, detail, kind="too-many-requests", headers={"Retry-After": wait, **(headers or {})})


def install(app: FastAPI) -> None:
    """Have an application tell all its errors in this form."""
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(RequestValidationError, _tell_validation)
    app.add_exception_handler(AlsekError, _tell_alsek)
    app.add_exception_handler(Exception, _tell_unexpected)


def pointer(location: tuple[Any, ...]) -> str:
    """Give a place in a request: a JSON pointer into the body, or the name of a parameter."""
    where, *rest = location or ("body",)
    path = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in rest)
    return path or "/" if where == "body" else f"{where}{path}"


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _tell_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = error if isinstance(error, Problem) else Problem(error.status_code, error.detail, headers=error.headers)
    return problem_response(problem, _request_id(request))


async def _tell_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"pointer": pointer(one["loc"]), "detail": one["msg"]} for one in error.errors()[:20]]
    first = found[0] if found else {"pointer": "/", "detail": "the request is not what it should be"}
    problem = Problem(422, f"{first['pointer']}: {first['detail']}", kind="invalid", errors=found)
    return problem_response(problem, _request_id(request))


async def _tell_alsek(request: Request, error: Exception) -> Response:
    assert isinstance(error, AlsekError)
    return problem_response(of_alsek(error), _request_id(request))


async def _tell_unexpected(request: Request, error: Exception) -> Response:
    del error  # it is logged where it leaves the application
    problem = Problem(500, "Something went wrong here; the log of the service says what.", kind="internal")
    return problem_response(problem, _request_id(request))
