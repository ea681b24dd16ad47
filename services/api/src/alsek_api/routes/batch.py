"""Enqueue many messages by one request, each with an outcome of its own."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from alsek_api.auth.guard import caller, needs, note, service_of
from alsek_api.batches import Batch, derived_uuids
from alsek_api.bodies import StrictRoute, check_depth, is_json, read_json
from alsek_api.incoming import once_of, read_once
from alsek_api.problems import Problem
from alsek_api.routes.enqueue import IdempotencyKey
from alsek_api.routes.examples import OTHER_UUID, UUID, problems, shows
from alsek_api.schemas.enqueue import MOST_IN_A_BATCH, BatchOutcome, BatchRequest

if TYPE_CHECKING:
    from alsek_api.service import Service

router = APIRouter(route_class=StrictRoute, tags=["enqueue"])

_NDJSON = "application/x-ndjson"

#: How long one attempt may work on a request alone, ms: longer than any takes.
_ALONE_MS = 60_000

_EXAMPLE = {"messages": [{"task": "add", "args": [1, 2]}, {"task": "add", "args": [3, 4], "priority": 2}]}
_OUTCOME = {
    "accepted": 1,
    "rejected": 1,
    "outcomes": [
        {"status": 202, "uuid": UUID},
        {
            "status": 422,
            "problem": {
                "type": "urn:alsek:problem:invalid",
                "title": "Unprocessable Entity",
                "status": 422,
                "detail": "/priority: Input should be greater than or equal to 0",
                "request_id": OTHER_UUID,
            },
        },
    ],
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{BatchRequest.__name__}"},
                "examples": {"two": {"summary": "Two messages", "value": _EXAMPLE}},
            },
            _NDJSON: {
                "schema": {"type": "string", "description": "One message a line."},
                "examples": {
                    "two": {
                        "summary": "Two messages",
                        "value": '{"task": "add", "args": [1, 2]}\n{"task": "add", "args": [3, 4]}\n',
                    }
                },
            },
        },
    }
}


def _guarded() -> dict[str, Any]:
    asked = needs("enqueue")
    asked["openapi_extra"] |= _BODY
    return asked


@router.post(
    "/v1/messages:batch",
    response_model=BatchOutcome,
    summary="Enqueue many messages",
    responses={200: shows(_OUTCOME, "What became of each"), **problems(409, body=True)},
    **_guarded(),
)
async def enqueue_batch(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Store up to 10,000 messages. Each is stored or refused on its own, so look at the outcomes.

    Send JSON (`{"messages": [...]}`), or NDJSON: a message a line. With an `Idempotency-Key`, the same request sent
    again stores nothing twice, also after the first attempt ended half-way; while that runs, the answer is 409.
    """
    service, principal = service_of(request), caller(request)
    raw = await request.body()
    items = _items(raw, request.headers.get("content-type", ""), service.settings.max_depth)
    await service.registry.refresh()
    batch = Batch(service.incoming, principal)
    note(request, messages=len(items))
    if idempotency_key is None:
        await service.budgets.spend_messages(principal, len(items))
        return Response(await batch.store(items), media_type="application/json")
    once = once_of(principal, "POST /v1/messages:batch", idempotency_key, raw)
    seed = service.incoming.new_uuid()
    reply = await _link(service).execute(service.incoming.verbs.reserve(once, seed, _ALONE_MS))
    before = reply[1] if reply[0] == 3 else read_once(reply)
    if isinstance(before, bytes):
        headers = {"Idempotency-Replayed": "true"}
        return Response(zlib.decompress(before), headers=headers, media_type="application/json")
    if reply[0] == 0:
        wait = str(-(-reply[1] // 1000))
        raise Problem(409, "The same request is being carried out.", kind="in-flight", headers={"Retry-After": wait})
    first = reply[1].decode()
    if first == seed:
        await service.budgets.spend_messages(principal, len(items))
    batch.uuid_of = derived_uuids(first, service.broker.keys)
    body = await batch.store(items, again=first != seed)
    key = service.broker.keys.idempotency(once.digest)
    if batch.broken:  # the repeat goes on where this ended
        await _link(service).command("HDEL", key, "busy")
    else:
        await _link(service).command("HSET", key, "answer", zlib.compress(body, 1))
    return Response(body, media_type="application/json")


def _items(raw: bytes, kind: str, max_depth: int) -> list[Any]:
    """Give the messages of a request: each an object, or the problem that stands in its place."""
    if kind.partition(";")[0].strip().lower() == _NDJSON:
        lines = [line for line in raw.split(b"\n") if line.strip()]
        if not 0 < len(lines) <= MOST_IN_A_BATCH:
            raise _wrong_number(len(lines))
        return [_line(line, max_depth) for line in lines]
    if not is_json(kind):
        raise Problem(415, f"The body has to be application/json or {_NDJSON}.", kind="not-json")
    whole = read_json(raw, max_depth)
    if not isinstance(whole, dict) or set(whole) != {"messages"} or not isinstance(whole["messages"], list):
        raise Problem(422, 'The body has to be {"messages": [...]}.', kind="invalid")
    items: list[Any] = whole["messages"]
    if not 0 < len(items) <= MOST_IN_A_BATCH:
        raise _wrong_number(len(items))
    return items


def _line(line: bytes, max_depth: int) -> Any:
    try:
        value = msgspec.json.decode(line)
        check_depth(line, value, max_depth)
    except RecursionError:
        return Problem(400, f"The line is nested more than {max_depth} levels deep.", kind="too-deep")
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        return Problem(400, f"The line is no JSON: {error}", kind="malformed")
    except Problem as problem:
        return problem
    return value


def _wrong_number(count: int) -> Problem:
    return Problem(422, f"A request takes 1 to {MOST_IN_A_BATCH:,} messages, not {count:,}.", kind="invalid")


def _link(service: Service) -> Any:
    return service.broker.redis.async_link
