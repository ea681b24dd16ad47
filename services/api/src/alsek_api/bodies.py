"""How bodies are read: JSON to the letter, no deeper than allowed, and only where it says that it is JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, get_type_hints

import msgspec
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from alsek_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

#: Characters of an Idempotency-Key.
LONGEST_KEY: Final = 255

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

    async def body(self) -> bytes:
        """Give the body, as the edge lets it pass.

        Raises:
            Problem: 400: the client went away; what the edge raises.
        """
        if not hasattr(self, "_body"):
            parts, more = [], True
            while more:
                message = await self._receive()
                if message["type"] != "http.request":
                    raise Problem(400, "The client went away before its body was whole.", kind="malformed")
                parts.append(message.get("body", b""))
                more = message.get("more_body", False)
            self._body = b"".join(parts)
        return self._body

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
            if kind or await strict.body():
                _check_kind(kind)
            return await handle(strict)

        return strictly


class PromptRoute(StrictRoute):
    """A route for one JSON body and an Idempotency-Key, which it reads itself.

    What the endpoint declares is what the document shows; FastAPI's way to read it costs more than all the rest of a
    small request. Errors leave as FastAPI's own do, and who may not come in is told so before the body is parsed.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self._guards = [asked.dependency for asked in self.dependencies if asked.dependency is not None]
        self._model = get_type_hints(endpoint)["asked"].__pydantic_validator__

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request that has come to this path."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        response = await self._answer(StrictRequest(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: StrictRequest) -> Response:
        _check_kind(request.headers.get("content-type", "application/json"))
        for guard in self._guards:
            await guard(request)
        body = await request.body()
        if body:
            _check_kind(request.headers.get("content-type", ""))
        key = request.headers.get("idempotency-key")
        if key is not None and len(key) > LONGEST_KEY:
            wrong = {"loc": ("header", "Idempotency-Key"), "msg": f"at most {LONGEST_KEY} characters are taken"}
            raise RequestValidationError([wrong])
        if not body:
            raise RequestValidationError([{"loc": ("body",), "msg": "Field required"}])
        value = await request.json()
        try:
            asked = self._model.validate_python(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
        response: Response = await self.endpoint(request, asked, key)
        return response


def _check_kind(content_type: str) -> None:
    """Refuse what does not say that it is JSON.

    Raises:
        Problem: 415.
    """
    if not is_json(content_type):
        raise Problem(415, "The body has to be JSON: Content-Type: application/json.", kind="not-json")


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
