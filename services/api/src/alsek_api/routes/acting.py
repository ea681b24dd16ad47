"""Act on messages and queues: revoke, replay, purge, pause, resume, reorder, run now."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Request
from starlette.responses import Response

from alsek.exceptions import AlsekError, MessageDoesNotExistsError
from alsek_api.auth.guard import caller, needs, note, service_of
from alsek_api.auth.keys import Principal
from alsek_api.bodies import JsonResponse, StrictRoute
from alsek_api.incoming import problem_of
from alsek_api.lookup import summary_of
from alsek_api.problems import Problem, problem_fields
from alsek_api.routes.examples import OTHER_UUID, UUID, problems, shows
from alsek_api.routes.messages import SUMMARY, Uuid
from alsek_api.schemas.messages import PriorityRequest, RevokeRequest
from alsek_api.schemas.names import NAME
from alsek_api.schemas.queues import (
    DeadLetterRequest,
    DeadLettersDone,
    MessageDone,
    PauseRequest,
    PauseView,
    RevokeOutcomes,
)
from alsek_api.service import Service

router = APIRouter(route_class=StrictRoute, tags=["act"])

Queue = Annotated[str, Path(pattern=NAME, description="Name of the queue.", examples=["mail"])]

_PAUSE = {"reason": "database moves", "since": 1_794_000_000_000, "by": "3f9a1c0b7d24"}
_WAS = {"was": SUMMARY}
_FILTERS = {
    "reason": {"summary": "Those that killed their workers", "value": {"reason": "crash_loop"}},
    "one": {"summary": "One of them", "value": {"uuid": UUID}},
    "all": {"summary": "All of them", "value": {}},
}


def _one(body: Any) -> dict[str, Any]:
    return {"usual": {"summary": "An example", "value": body}}


@router.post(
    "/v1/messages:revoke",
    response_model=RevokeOutcomes,
    summary="Revoke many messages",
    responses={
        200: shows({"revoked": 1, "outcomes": [{"uuid": UUID, "status": 200}, {"uuid": OTHER_UUID, "status": 404}]}),
        **problems(body=True),
    },
    **needs("operate"),
)
async def revoke_many(
    request: Request, asked: Annotated[RevokeRequest, Body(openapi_examples=_one({"uuids": [UUID, OTHER_UUID]}))]
) -> Response:
    """Revoke up to 1,000 messages, each with an outcome of its own."""
    service, principal = service_of(request), caller(request)
    note(request, uuids=asked.uuids[:20], count=len(asked.uuids))

    def revoke() -> list[dict[str, Any]]:
        outcomes: list[dict[str, Any]] = []
        for uuid in asked.uuids:
            try:
                _see(service, uuid, principal)
                service.inspector.revoke(uuid)
                outcomes.append({"uuid": uuid, "status": 200})
            except (Problem, MessageDoesNotExistsError) as error:
                problem = problem_of(error)
                outcomes.append({"uuid": uuid, "status": problem.status_code, "problem": problem_fields(problem)})
        return outcomes

    outcomes = await service.ask(revoke)
    return JsonResponse({"revoked": sum(one["status"] == 200 for one in outcomes), "outcomes": outcomes})


@router.post(
    "/v1/messages/{uuid}/revoke",
    response_model=MessageDone,
    summary="Revoke a message",
    responses={200: shows(_WAS), **problems(404, 409)},
    **needs("operate"),
)
async def revoke(request: Request, uuid: Uuid) -> Response:
    """End a message: a waiting one never runs, a running one is stopped. It goes to the dead letters."""
    return await _act(request, uuid, "revoke")


@router.post(
    "/v1/messages/{uuid}/priority",
    response_model=MessageDone,
    summary="Change a priority",
    responses={200: shows(_WAS), **problems(404, 409, body=True)},
    **needs("operate"),
)
async def reprioritize(
    request: Request, uuid: Uuid, asked: Annotated[PriorityRequest, Body(openapi_examples=_one({"priority": 0}))]
) -> Response:
    """Give a waiting message another priority: lower runs sooner."""
    return await _act(request, uuid, "reprioritize", asked.priority)


@router.post(
    "/v1/messages/{uuid}/run-now",
    response_model=MessageDone,
    summary="Run a delayed message now",
    responses={200: shows(_WAS), **problems(404, 409)},
    **needs("operate"),
)
async def run_now(request: Request, uuid: Uuid) -> Response:
    """Make a delayed message ready; also a retry that waits for its backoff."""
    return await _act(request, uuid, "run_now")


@router.post(
    "/v1/messages/{uuid}/replay",
    response_model=MessageDone,
    summary="Replay a dead letter",
    responses={200: shows(_WAS), **problems(404, 409)},
    **needs("operate"),
)
async def replay(request: Request, uuid: Uuid) -> Response:
    """Give a dead letter a new life: ready at once, its counts at zero."""
    return await _act(request, uuid, "replay")


@router.post(
    "/v1/messages/{uuid}/purge",
    response_model=MessageDone,
    summary="Delete a dead letter",
    responses={200: shows(_WAS), **problems(404, 409)},
    **needs("operate"),
)
async def purge(request: Request, uuid: Uuid) -> Response:
    """Delete a dead letter for good."""
    return await _act(request, uuid, "purge")


@router.post(
    "/v1/queues/{queue}/dead-letters:replay",
    response_model=DeadLettersDone,
    summary="Replay dead letters",
    responses={200: shows({"count": 12, "complete": True}), **problems(404, 409, body=True)},
    **needs("operate"),
)
async def replay_many(
    request: Request, queue: Queue, asked: Annotated[DeadLetterRequest, Body(openapi_examples=_FILTERS)]
) -> Response:
    """Give dead letters of a queue a new life: one, those of a task or with a reason, or all."""
    return await _act_on_dead(request, queue, asked, "replay")


@router.post(
    "/v1/queues/{queue}/dead-letters:purge",
    response_model=DeadLettersDone,
    summary="Delete dead letters",
    responses={200: shows({"count": 12, "complete": True}), **problems(404, 409, body=True)},
    **needs("operate"),
)
async def purge_many(
    request: Request, queue: Queue, asked: Annotated[DeadLetterRequest, Body(openapi_examples=_FILTERS)]
) -> Response:
    """Delete dead letters of a queue for good: one, those of a task or with a reason, or all."""
    return await _act_on_dead(request, queue, asked, "purge")


@router.post(
    "/v1/queues/{queue}/pause",
    response_model=PauseView,
    summary="Pause a queue",
    responses={200: shows(_PAUSE), **problems(404, 409, body=True)},
    **needs("operate"),
)
async def pause(
    request: Request,
    queue: Queue,
    asked: Annotated[PauseRequest, Body(openapi_examples=_one({"reason": "database moves"}))],
) -> Response:
    """Have a queue give nothing: new messages are accepted, what runs goes on, and the rest waits."""
    service, principal = service_of(request), _whole_queue(request, queue)
    done = await service.ask(service.inspector.pause, queue, asked.reason, by=principal.name)
    return JsonResponse({"reason": done.reason, "since": done.since, "by": done.by})


@router.post(
    "/v1/queues/{queue}/resume",
    response_model=PauseView,
    summary="Resume a queue",
    responses={200: shows(_PAUSE, "The pause that is over"), **problems(404, 409)},
    **needs("operate"),
)
async def resume(request: Request, queue: Queue) -> Response:
    """Let a paused queue go on."""
    service = service_of(request)
    _whole_queue(request, queue)
    done = await service.ask(service.inspector.resume, queue)
    return JsonResponse({"reason": done.reason, "since": done.since, "by": done.by})


async def _act(request: Request, uuid: str, verb: str, *args: Any) -> Response:
    service, principal = service_of(request), caller(request)
    note(request, uuid=uuid)

    def act() -> Any:
        _see(service, uuid, principal)
        return getattr(service.inspector, verb)(uuid, *args)

    return JsonResponse({"was": summary_of(await service.ask(act))})


async def _act_on_dead(request: Request, queue: str, asked: DeadLetterRequest, verb: str) -> Response:
    service, principal = service_of(request), caller(request)
    note(request, queue=queue, uuid=asked.uuid, task_name=asked.task, reason=asked.reason)
    if not principal.sees(queue, asked.task or ""):
        raise Problem(404, f"There is no queue {queue}.", kind="no-such-queue")
    if asked.uuid is not None:
        if asked.task or asked.reason:
            raise Problem(422, "Name one message by uuid, or choose by task and reason.", kind="invalid")
        await _act(request, asked.uuid, verb)
        return JsonResponse({"count": 1, "complete": True})
    if principal.tasks and asked.task is None:
        raise Problem(403, "This key is limited to some tasks: say which.", kind="forbidden")

    def act() -> tuple[int, bool]:
        every = getattr(service.inspector, f"{verb}_all")
        count = sum(1 for _ in every(queue, task=asked.task, reason=asked.reason, most=asked.limit))
        return count, count < asked.limit

    count, complete = await service.ask(act)
    note(request, count=count)
    return JsonResponse({"count": count, "complete": complete})


def _see(service: Service, uuid: str, principal: Principal) -> None:
    """Refuse what the key does not see as if it were not there."""
    if not principal.is_limited:
        return
    try:
        service.lookup.find(uuid, principal)
    except AlsekError as error:
        raise problem_of(error) from None


def _whole_queue(request: Request, queue: str) -> Principal:
    principal = caller(request)
    note(request, queue=queue)
    if not principal.sees(queue):
        raise Problem(404, f"There is no queue {queue}.", kind="no-such-queue")
    if principal.tasks:
        raise Problem(403, "This key is limited to some tasks, and a pause stops all of a queue.", kind="forbidden")
    return principal
