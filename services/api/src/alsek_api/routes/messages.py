"""Read messages: one, its result, its events, why it does not run; and lists."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from alsek_api.auth.guard import caller, needs, service_of
from alsek_api.bodies import JsonResponse, StrictRoute
from alsek_api.lookup import summary_of
from alsek_api.problems import Problem
from alsek_api.routes.examples import OTHER_UUID, UUID, problems, shows
from alsek_api.schemas.messages import Explanation, ListedState, MessagePage, MessageView, ResultView, Waiting
from alsek_api.schemas.names import NAME
from alsek_api.schemas.names import UUID as UUID_PATTERN
from alsek_api.streams import EventStream

router = APIRouter(route_class=StrictRoute, tags=["read"])

Uuid = Annotated[str, Path(pattern=UUID_PATTERN, description="Of the message.", examples=[UUID])]
QueueName = Annotated[str, Query(pattern=NAME, description="Of the queue.", examples=["mail"])]

#: Longest wait of a long poll, seconds: below what proxies allow.
_LONGEST_WAIT_S = 60

SUMMARY: dict[str, Any] = {
    "uuid": UUID, "state": "running", "task": "send_mail", "queue": "mail", "priority": 0, "retries": 1,
    "deliveries": 2, "created_at": 1_794_000_000_000, "due_at": None, "leased_until": 1_794_000_031_000,
    "ended_at": None, "worker": "host-4711-0", "reason": "", "progress": {"done": 3, "total": 10, "note": None},
    "error": {"name": "TimeoutError", "text": "no answer", "traceback": "Traceback (most recent call last): ..."},
}  # fmt: skip
_STEP = {
    "at": 1_794_000_000_000, "what": "retried", "worker": "293048380b461c35", "host": "worker-7", "duration_ms": 812,
    "note": "TimeoutError: no answer",
}  # fmt: skip
_VIEW = SUMMARY | {
    "timeline": [_STEP],
    "args": [1, 2], "kwargs": {}, "metadata": {"order": 4711}, "timeout_ms": 30_000, "result_ttl_ms": None,
    "root": None, "parent": None, "children": [OTHER_UUID], "result_url": f"/v1/messages/{UUID}/result",
    "events_url": f"/v1/messages/{UUID}/events",
}  # fmt: skip
_RESULT = {"uuid": UUID, "state": "succeeded", "result": 3, "stored_at": 1_794_000_000_512, "error": None}
_EVENTS = (
    f'retry: 1000\n\nid: running-1f0e9d8c\nevent: status\ndata: {{"uuid": "{UUID}", "state": "running", '
    '"details": {"done": 3, "total": 10, "note": null}}\n\n'
)


@router.get(
    "/v1/messages",
    response_model=MessagePage,
    summary="List messages",
    responses={200: shows({"messages": [SUMMARY], "cursor": None}, "A page of them"), **problems()},
    **needs("read"),
)
async def messages(
    request: Request,
    queue: QueueName,
    state: Annotated[ListedState, Query(description="Which of them.")] = "ready",
    task: Annotated[str | None, Query(pattern=NAME, description="Only of this task.")] = None,
    created_from: Annotated[
        int | None, Query(ge=0, le=2**53, description="Made at or after; ms since the epoch.")
    ] = None,
    created_until: Annotated[int | None, Query(ge=0, le=2**53, description="Made before; ms since the epoch.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Most messages of a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=300, description="Of the page before.")] = None,
) -> Response:
    """List the messages of a queue in one state: `ready` in the order in which they run, `delayed` by due time.

    With a filter, a page may come back short; go on as long as there is a `cursor`.
    """
    service, principal = service_of(request), caller(request)
    if not principal.sees(queue, task or ""):
        raise Problem(404, f"There is no queue {queue}.", kind="no-such-queue")
    page = await service.ask(service.inspector.messages, queue, state, task=task, limit=limit, cursor=cursor)
    found = [
        summary_of(info)
        for info in page.messages
        if principal.sees(queue, info.task)
        and (created_from is None or (info.created_at or 0) >= created_from)
        and (created_until is None or (info.created_at or 0) < created_until)
    ]
    return JsonResponse({"messages": found, "cursor": page.cursor})


@router.get(
    "/v1/messages/{uuid}",
    response_model=MessageView,
    summary="Read a message",
    responses={200: shows(_VIEW, "What is known of it"), **problems(404)},
    **needs("read"),
)
async def message(request: Request, uuid: Uuid) -> Response:
    """Read all that is known of a message: state, attempts, times, progress, last error, and what it belongs to.

    A message that came by HTTP is remembered for a week after its end, others for a minute; dead letters as long as
    they are kept.
    """
    service = service_of(request)
    return JsonResponse(await service.ask(service.lookup.view, uuid, caller(request)))


@router.get(
    "/v1/messages/{uuid}/result",
    response_model=ResultView,
    summary="Read a result, or wait for it",
    responses={
        200: shows(_RESULT, "It has ended"),
        202: {"model": Waiting, **shows({"uuid": UUID, "state": "running"}, "It has not ended yet")},
        **problems(404, 409, 410),
    },
    **needs("read"),
)
async def result(
    request: Request,
    uuid: Uuid,
    wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S, description="Seconds to wait for the end.")] = 0,
) -> Response:
    """Read how a message ended, and what its task returned. The result stays there.

    With `wait` the answer comes as soon as the message ends, by push; 202 when it did not in that time. A task that
    failed is a 200 too, with its `state` and `error`. 410: it ended, and there is no result (any more).
    """
    status, body = await service_of(request).following.result(uuid, caller(request), wait)
    headers = {"Retry-After": "1"} if status == 202 else None
    return Response(body, status, headers, "application/json")


@router.get(
    "/v1/messages/{uuid}/events",
    summary="Follow a message",
    status_code=200,
    response_class=EventStream,
    responses={
        200: {
            "description": "Events until it ends",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EVENTS}},
        },
        **problems(404),
    },
    **needs("read"),
)
async def events(
    request: Request,
    uuid: Uuid,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="The last event that was seen.")
    ] = None,
) -> Response:
    """Follow a message by Server-Sent Events: its state now, and each change, with progress in `details`.

    The stream ends when the message has ended, or after five minutes: a client comes back with `Last-Event-ID`, and
    hears the state if it changed meanwhile. Comments in between keep the connection open.
    """
    service, principal = service_of(request), caller(request)
    following = service.following
    known = await following.find(uuid, principal)
    return EventStream(
        service.streams,
        principal,
        service.settings,
        lambda: service.broker.redis.async_subscriber.open(following.channels(known)),
        lambda told: following.events(known, principal, last_event_id or "", told),
    )


@router.get(
    "/v1/messages/{uuid}/explain",
    response_model=Explanation,
    summary="Explain why a message does not run",
    responses={
        200: shows({"uuid": UUID, "explanation": "It is ready, with 3 messages ahead of it in queue mail."}),
        **problems(404),
    },
    **needs("read"),
)
async def explain(request: Request, uuid: Uuid) -> Response:
    """Say in one sentence why a message does not run now, or that it does."""
    service = service_of(request)
    known = await service.ask(service.lookup.find, uuid, caller(request))
    if known.info is None:
        text = f"It has {known.state}, a while ago."
    else:
        text = await service.ask(service.inspector.explain, uuid)
    return JsonResponse({"uuid": uuid, "explanation": text})
