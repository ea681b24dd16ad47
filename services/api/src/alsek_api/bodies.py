"""How bodies are read: JSON to the letter, no deeper than allowed, and only where it says that it is JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import msgspec
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from alsek_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class JsonResponse(Response):
    """JSON, written quickly."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Give the bytes."""
        return write_json(content)


class StrictRequest(Request):
    """A request whose JSON is read strictly."""

    async def json(self) -> Any:
        """Give the body.

        Raises:
            Problem: 400 with the place where it is no JSON, or because it is nested too deeply.
        """
        return read_json(await self.body(), self.app.state.service.settings.max_depth)


class StrictRoute(APIRoute):
    """A route that takes JSON only as JSON: a form or plain text, as a foreign page could send it, is a 415."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Give the handler, with our reading of bodies."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            kind = strict.headers.get("content-type", "")
            # Without a type there may be no body at all; it is read once, by whoever keeps it.
            if not is_json(kind) and (kind or await strict.body()):
                raise Problem(415, "The body has to be JSON: Content-Type: application/json.", kind="not-json")
            return await handle(strict)

        return strictly


def write_json(value: Any) -> bytes:
    """Write JSON, also of what other programs left in Redis: half of a surrogate pair is escaped, NaN is null."""
    try:
        return _encode(value)
    except (UnicodeEncodeError, OverflowError, RecursionError):
        return json.dumps(value, separators=(",", ":")).encode()


def is_json(content_type: str) -> bool:
    """Tell whether a body says that it is JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def read_json(body: bytes, max_depth: int) -> Any:
    """Read JSON.

    Raises:
        Problem: 400.
    """
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep(max_depth) from None
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise Problem(400, f"The body is no JSON: {error}", kind="malformed") from None
    check_depth(body, value, max_depth)
    return value


def check_depth(body: bytes, value: Any, max_depth: int) -> None:
    """Refuse what is nested too deeply.

    Raises:
        Problem: 400.
    """
    if body.count(b"[") + body.count(b"{") > max_depth and _is_deeper(value, max_depth):
        raise _too_deep(max_depth)


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels + 1):
        below: list[Any] = []
        for one in level:
            if one.__class__ is dict:
                below += [child for child in one.values() if child.__class__ in _NESTS]
            elif one.__class__ is list:
                below += [child for child in one if child.__class__ in _NESTS]
        if not below:
            return False
        level = below
    return True


def _too_deep(max_depth: int) -> Problem:
    return Problem(400, f"The body is nested more than {max_depth} levels deep.", kind="too-deep")


_NESTS: Final = (dict, list)
