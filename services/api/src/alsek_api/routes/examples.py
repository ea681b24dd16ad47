"""Examples and responses that the description of the API shows with each operation."""

from __future__ import annotations

from typing import Any, Final

from alsek_api.problems import MEDIA_TYPE
from alsek_api.schemas.names import ProblemView

UUID: Final = "01a20e33-e5d4-7cda-aebb-441508951d5b"
OTHER_UUID: Final = "01a20e33-e5d5-7000-8000-7a1b2c3d4e5f"

_PROBLEMS: Final[dict[int, tuple[str, str, str]]] = {
    400: ("malformed", "What was sent cannot be read", "The body is no JSON: invalid character (byte 0)"),
    401: ("unauthorized", "No key, or a wrong one", "This key is wrong, expired or revoked."),
    403: ("forbidden", "The key is not good for this", "This key has not the scope 'operate'."),
    404: ("no-such-message", "There is no such thing, or the key does not see it", f"There is no message {UUID}."),
    408: ("too-slow", "The body did not arrive in time", "The body did not arrive in time."),
    409: ("state", "Its state does not allow this", f"{UUID} is running, not among the dead letters"),
    410: ("result-gone", "There was a result; it is no longer kept", f"The result of {UUID} is no longer kept."),
    412: ("changed", "It was changed since it was read", "The schedule was changed since; read it again."),
    413: ("body-too-large", "The body is too large", "The body has more than 1,310,720 bytes."),
    415: ("not-json", "The body is of another kind", "The body has to be JSON: Content-Type: application/json."),
    422: ("invalid", "A value is wrong", "/priority: Input should be less than or equal to 4095"),
    428: ("unconditional", "If-Match is missing", "Say which version you change: If-Match: the ETag of your read."),
    429: ("too-many-requests", "The key is used too often", "This key is good for 100 requests a second."),
    500: ("internal", "Something went wrong here", "Something went wrong here; the log of the service says what."),
    503: ("unavailable", "Not now: Redis is away or full, or the service ends", "Redis does not answer."),
}  # fmt: skip

_SCHEMA: Final = f"#/components/schemas/{ProblemView.__name__}"
_USUAL: Final = (400, 401, 403, 422, 429, 503)
_WITH_BODY: Final = (408, 413, 415)


def problems(*statuses: int, body: bool = False) -> dict[int | str, dict[str, Any]]:
    """Describe the problems of an operation: the usual ones, and those that it adds.

    Args:
        *statuses: Of those it adds.
        body: Whether it takes a body.
    """
    return {status: _problem(status) for status in sorted({*_USUAL, *statuses, *(_WITH_BODY if body else ())})}


def shows(example: Any, description: str = "Done", kind: str = "application/json") -> dict[str, Any]:
    """Describe a response by an example."""
    return {"description": description, "content": {kind: {"example": example}}}


def _problem(status: int) -> dict[str, Any]:
    kind, description, detail = _PROBLEMS[status]
    from http import HTTPStatus

    example = {
        "type": f"urn:alsek:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "request_id": OTHER_UUID,
    }
    described: dict[str, Any] = {
        "description": description,
        "content": {
            MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{ProblemView.__name__}"}, "example": example}
        },
    }
    if status in (429, 503):
        described["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return described
