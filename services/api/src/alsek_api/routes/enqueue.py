"""Enqueue one message."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Header, Request
from starlette.responses import Response

from alsek.core.message import Message
from alsek.exceptions import BackendUnavailableError
from alsek_api.auth.guard import caller, needs, note, service_of
from alsek_api.bodies import LONGEST_KEY, PromptRoute
from alsek_api.incoming import once_of
from alsek_api.problems import unavailable
from alsek_api.routes.examples import UUID, problems, shows
from alsek_api.schemas.enqueue import Accepted, EnqueueRequest

router = APIRouter(route_class=PromptRoute, tags=["enqueue"])

_PATH = "/v1/messages"

_EXAMPLES: dict[str, Any] = {
    "arguments": {"summary": "A task with arguments", "value": {"task": "add", "args": [1, 2]}},
    "everything": {
        "summary": "Urgent, later, and with what follows",
        "value": {
            "task": "send_mail",
            "kwargs": {"to": "ada@example.com"},
            "queue": "mail",
            "priority": 1,
            "run_at": "2030-01-01T12:00:00+00:00",
            "timeout_ms": 30_000,
            "result_ttl_ms": 3_600_000,
            "metadata": {"order": 4711},
            "backoff": {"algorithm": "ConstantBackoff", "parameters": {"constant": 5_000}},
            "callbacks": [{"task": "note_sent", "queue": "mail"}],
        },
    },
}

_ACCEPTED = {
    "uuid": UUID,
    "task": "add",
    "queue": "alsek_queue",
    "status_url": f"{_PATH}/{UUID}",
    "result_url": f"{_PATH}/{UUID}/result",
    "events_url": f"{_PATH}/{UUID}/events",
    "callbacks": [],
    "warnings": [],
}

#: Of both ways to enqueue.
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=LONGEST_KEY,
        description="Carry this out once, however often it is sent; remembered for 24 hours.",
        examples=["order-4711"],
    ),
]


@router.post(
    _PATH,
    status_code=202,
    response_model=Accepted,
    summary="Enqueue a message",
    responses={202: shows(_ACCEPTED, "It is stored"), **problems(409, body=True)},
    **needs("enqueue"),
)
async def enqueue(
    request: Request,
    asked: Annotated[EnqueueRequest, Body(openapi_examples=_EXAMPLES)],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Store a message, and make it available to the workers.

    With an `Idempotency-Key`, the same request sent again is answered as the first one was, and stores nothing; another
    body under the same key is a 422. Both are kept in the same step as the message itself.
    """
    service, principal = service_of(request), caller(request)
    incoming = service.incoming
    await service.budgets.spend_messages(principal, 1)
    await service.registry.refresh()
    if idempotency_key is None:
        prepared = incoming.prepare(asked, principal)
        body, location = _answer(prepared.message, prepared.warnings)
        _note(request, prepared.message)
        try:
            await incoming.store(prepared)
        except BackendUnavailableError as error:
            raise _unknown(error, prepared.message.uuid) from None
        return Response(body, 202, {"Location": location}, "application/json")
    # The digest decides where all this lies: the message has to lie beside the answer.
    once = once_of(principal, f"POST {_PATH}", idempotency_key, await request.body())
    home = service.broker.keys.partition(once.digest)
    prepared = incoming.prepare(asked, principal, lambda _: incoming.new_uuid(home))
    body, location = _answer(prepared.message, prepared.warnings)
    _note(request, prepared.message)
    try:
        before = await incoming.store_once(prepared, once._replace(answer=body.decode()))
    except BackendUnavailableError as error:
        raise _unknown(error, prepared.message.uuid) from None
    headers = {"Location": location}
    if before is not None:
        body = before.encode()
        headers = {"Location": msgspec.json.decode(body)["status_url"], "Idempotency-Replayed": "true"}
    return Response(body, 202, headers, "application/json")


def _answer(message: Message, warnings: list[str]) -> tuple[bytes, str]:
    location = f"{_PATH}/{message.uuid}"
    body = {
        "uuid": message.uuid,
        "task": message.task_name,
        "queue": message.queue,
        "status_url": location,
        "result_url": f"{location}/result",
        "events_url": f"{location}/events",
        "callbacks": message.descendant_uuids or [],
        "warnings": warnings,
    }
    return msgspec.json.encode(body), location


def _note(request: Request, message: Message) -> None:
    note(request, uuid=message.uuid, task_name=message.task_name, queue=message.queue)


def _unknown(error: BackendUnavailableError, uuid: str) -> Exception:
    if not error.ambiguous:
        return error
    return unavailable(
        f"Redis did not answer in time: {uuid} may be stored or not. Look for it; with an Idempotency-Key, "
        "repeat the request with the same one.",
        outcome="unknown",
        uuid=uuid,
    )
