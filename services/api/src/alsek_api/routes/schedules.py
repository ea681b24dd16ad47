"""Schedules: make, read, change, pause, resume, delete, fire now, preview."""

from __future__ import annotations

import re
import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request
from starlette.responses import Response

from alsek.core.schedules import FirePolicy, Schedule
from alsek.core.triggers import Trigger, from_data
from alsek.core.triggers.moments import from_ms
from alsek.exceptions import BackendError
from alsek.logging import get_logger
from alsek_api.auth.guard import caller, needs, note, service_of
from alsek_api.auth.keys import Principal
from alsek_api.bodies import JsonResponse, StrictRoute
from alsek_api.problems import Problem
from alsek_api.routes.examples import UUID, problems, shows
from alsek_api.schemas.names import NAME
from alsek_api.schemas.schedules import (
    CallRequest,
    Fired,
    Preview,
    PreviewRequest,
    ScheduleChange,
    ScheduleList,
    ScheduleRequest,
    ScheduleView,
)

log = get_logger("alsek.api")

router = APIRouter(route_class=StrictRoute, tags=["schedules"])

Id = Annotated[str, Path(pattern=NAME, description="Of the schedule.", examples=["nightly"])]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match", max_length=40, description="The ETag of your read: a change since is a 412.", examples=['"3"']
    ),
]

_PATH = "/v1/schedules"
_CRON = {"kind": "cron", "expression": "0 3 * * *", "timezone": "Europe/Vienna"}
_VIEW: dict[str, Any] = {
    "id": "nightly", "task": "clean_up", "queue": "night", "trigger": _CRON,
    "policy": {"misfire": "once", "grace_ms": 3_600_000, "overlap": "skip"}, "state": "active", "version": 3,
    "args": [], "kwargs": {"days": 30}, "priority": 0, "timeout_ms": None, "result_ttl_ms": None, "ttl_ms": None,
    "metadata": None, "owner": "user", "origin": None, "reason": None, "next_fire": "2030-01-01T03:00:00+01:00",
    "next_at": 1_893_463_200_000, "last_at": None, "last_uuid": None, "fired": 0, "missed": 0, "dropped": 0,
    "created_at": 1_794_000_000_000, "updated_at": 1_794_000_000_000,
}  # fmt: skip
_MAKE = {
    "nightly": {
        "summary": "Every night, but never two at a time",
        "value": {
            "id": "nightly",
            "task": "clean_up",
            "queue": "night",
            "kwargs": {"days": 30},
            "trigger": _CRON,
            "policy": {"overlap": "skip"},
        },
    },
    "interval": {
        "summary": "Every ten seconds",
        "value": {"id": "pulse", "task": "beat", "trigger": {"kind": "interval", "every_ms": 10_000}},
    },
}
_CHANGE = {"time": {"summary": "Another time", "value": {"trigger": _CRON | {"expression": "0 4 * * *"}}}}
_FIRED = {"uuid": UUID, "status_url": f"/v1/messages/{UUID}"}
_FIRES = {"fires": ["2030-01-01T03:00:00+01:00", "2030-01-02T03:00:00+01:00"]}
_TRY = {"usual": {"summary": "The next two", "value": {"trigger": _CRON, "count": 2}}}


def _shown(description: str = "The schedule") -> dict[str, Any]:
    return shows(_VIEW, description) | {
        "headers": {"ETag": {"description": "Its version.", "schema": {"type": "string"}}}
    }


@router.get(
    _PATH,
    response_model=ScheduleList,
    summary="List schedules",
    responses={200: shows({"schedules": [_VIEW], "cursor": None}), **problems()},
    **needs("read"),
)
async def schedules(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100, description="Most schedules of a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=300, description="Of the page before.")] = None,
) -> Response:
    """List the schedules. Those that the key does not see are left out, so a page may come back short."""
    service, principal = service_of(request), caller(request)
    page = await service.ask(service.schedules.page, limit, cursor)
    found = [view(one) for one in page.schedules if principal.sees(one.queue, one.task)]
    return JsonResponse({"schedules": found, "cursor": page.cursor})


@router.post(
    _PATH,
    status_code=201,
    response_model=ScheduleView,
    summary="Make a schedule",
    responses={201: _shown("It is made"), **problems(404, 409, body=True)},
    **needs("operate"),
)
async def create(request: Request, asked: Annotated[ScheduleRequest, Body(openapi_examples=_MAKE)]) -> Response:
    """Make a schedule. Its messages are submitted while a scheduler runs."""
    service, principal = service_of(request), caller(request)
    note(request, schedule=asked.id, task_name=asked.task)
    await service.registry.refresh()
    known = service.registry.find(asked.task)
    call = _call(asked)
    if known is not None:
        call = {"queue": known.queue, "timeout": known.timeout} | call
    _allow(principal, call.get("queue", ""), asked.task)
    made = await service.ask(
        service.schedules.create,
        asked.id,
        asked.task,
        _trigger(asked.trigger),
        policy=FirePolicy(**asked.policy.model_dump()),
        paused=asked.paused,
        **call,
    )
    return _answer(made, 201, {"Location": f"{_PATH}/{made.id}"})


@router.post(
    f"{_PATH}:preview",
    response_model=Preview,
    summary="Try a trigger",
    responses={200: shows(_FIRES), **problems(body=True)},
    **needs("read"),
)
async def try_trigger(request: Request, asked: Annotated[PreviewRequest, Body(openapi_examples=_TRY)]) -> Response:
    """Say when a trigger would fire, without making anything."""

    def fires() -> list[str]:
        trigger = _trigger(asked.trigger)
        now = time.time_ns() // 1_000_000
        found: list[str] = []
        following = trigger.first_fire(now)
        while following is not None and len(found) < asked.count:
            found.append(from_ms(following, trigger.zone).isoformat())
            following = trigger.fire_after(following, anchor_ms=now)
        return found

    return JsonResponse({"fires": await service_of(request).ask(fires)})


@router.get(
    f"{_PATH}/{{id}}",
    response_model=ScheduleView,
    summary="Read a schedule",
    responses={200: _shown(), **problems(404)},
    **needs("read"),
)
async def read(request: Request, id: Id) -> Response:  # noqa: A002 - its name in the path
    """Read a schedule; the ETag is its version."""
    return _answer(await _seen(request, id))


@router.patch(
    f"{_PATH}/{{id}}",
    response_model=ScheduleView,
    summary="Change a schedule",
    responses={200: _shown("As it is now"), **problems(404, 412, 428, body=True)},
    **needs("operate"),
)
async def change(
    request: Request,
    id: Id,  # noqa: A002 - its name in the path
    asked: Annotated[ScheduleChange, Body(openapi_examples=_CHANGE)],
    if_match: IfMatch = None,
) -> Response:
    """Change what is named, and leave the rest. A new trigger begins now."""
    service, principal = service_of(request), caller(request)
    version = _version(if_match)
    before = await _seen(request, id)
    call = _call(asked)
    _allow(principal, call.get("queue", before.queue), asked.task or before.task)
    done = await service.ask(
        service.schedules.update,
        id,
        version,
        task=asked.task,
        trigger=None if asked.trigger is None else _trigger(asked.trigger),
        policy=None if asked.policy is None else FirePolicy(**asked.policy.model_dump()),
        **call,
    )
    return _answer(done)


@router.delete(
    f"{_PATH}/{{id}}",
    status_code=204,
    summary="Delete a schedule",
    responses={204: {"description": "It is gone"}, **problems(404, 412, 428)},
    **needs("operate"),
)
async def delete(request: Request, id: Id, if_match: IfMatch = None) -> Response:  # noqa: A002
    """Delete a schedule; the messages that it has submitted stay."""
    service = service_of(request)
    version = _version(if_match)
    await _seen(request, id)
    await service.ask(service.schedules.delete, id, version)
    return Response(status_code=204)


@router.post(
    f"{_PATH}/{{id}}/pause",
    response_model=ScheduleView,
    summary="Pause a schedule",
    responses={200: _shown("As it is now"), **problems(404, 412)},
    **needs("operate"),
)
async def pause(request: Request, id: Id, if_match: IfMatch = None) -> Response:  # noqa: A002
    """Stop firing; pausing twice is fine. `If-Match` may be left out."""
    service = service_of(request)
    await _seen(request, id)
    return _answer(await service.ask(service.schedules.pause, id, _version(if_match, needed=False)))


@router.post(
    f"{_PATH}/{{id}}/resume",
    response_model=ScheduleView,
    summary="Resume a schedule",
    responses={200: _shown("As it is now"), **problems(404, 412)},
    **needs("operate"),
)
async def resume(request: Request, id: Id, if_match: IfMatch = None) -> Response:  # noqa: A002
    """Fire again, from the next instant on. `If-Match` may be left out."""
    service = service_of(request)
    await _seen(request, id)
    return _answer(await service.ask(service.schedules.resume, id, _version(if_match, needed=False)))


@router.post(
    f"{_PATH}/{{id}}/fire",
    status_code=202,
    response_model=Fired,
    summary="Fire a schedule now",
    responses={202: shows(_FIRED, "Its message is stored"), **problems(404, 412)},
    **needs("operate"),
)
async def fire(request: Request, id: Id) -> Response:  # noqa: A002
    """Submit one message now, whatever the trigger says and also while it is paused."""
    service = service_of(request)
    schedule = await _seen(request, id)
    uuid = await service.ask(service.schedules.fire, id)
    note(request, uuid=uuid)
    try:
        await service.lookup.remember(uuid, schedule, service.settings.kept_status_ms)
    except BackendError as error:  # it is fired all the same
        log.warning("fire.not_remembered", uuid=uuid, error=str(error))
    return JsonResponse({"uuid": uuid, "status_url": f"/v1/messages/{uuid}"}, 202)


@router.get(
    f"{_PATH}/{{id}}/preview",
    response_model=Preview,
    summary="Preview a schedule",
    responses={200: shows(_FIRES), **problems(404)},
    **needs("read"),
)
async def preview(
    request: Request,
    id: Id,  # noqa: A002 - its name in the path
    count: Annotated[int, Query(ge=1, le=100, description="How many fires.")] = 10,
) -> Response:
    """Say when a schedule fires next; also while it is paused."""
    service = service_of(request)
    await _seen(request, id)
    fires = await service.ask(service.schedules.preview, id, count)
    return JsonResponse({"fires": [one.isoformat() for one in fires]})


def view(schedule: Schedule) -> dict[str, Any]:
    """Give a schedule as it is sent."""
    data = schedule.data()
    return {name: data[name] for name in _SAME} | {
        "args": None if schedule.args is None else list(schedule.args),
        "timeout_ms": schedule.timeout,
        "result_ttl_ms": schedule.result_ttl,
        "ttl_ms": schedule.ttl,
        "next_fire": None if schedule.next_fire is None else schedule.next_fire.isoformat(),
        "next_at": schedule.next_ms,
        "last_at": schedule.last_ms,
    }


_SAME = (
    "id", "task", "queue", "trigger", "policy", "state", "version", "kwargs", "priority", "metadata", "owner", "origin",
    "reason", "last_uuid", "fired", "missed", "dropped", "created_at", "updated_at",
)  # fmt: skip


async def _seen(request: Request, schedule_id: str) -> Schedule:
    """Give a schedule that the key sees."""
    service, principal = service_of(request), caller(request)
    note(request, schedule=schedule_id)
    found: Schedule = await service.ask(service.schedules.get, schedule_id)
    if not principal.sees(found.queue, found.task):
        raise Problem(404, f"there is no schedule {schedule_id}", kind="no-such-schedule")
    return found


def _answer(schedule: Schedule, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JsonResponse(view(schedule), status, {"ETag": f'"{schedule.version}"'} | (headers or {}))


def _allow(principal: Principal, queue: str, task: str) -> None:
    if principal.is_limited and not (queue and principal.sees(queue, task)):
        raise Problem(403, f"This key is not good for task {task} in queue {queue or '(none)'}.", kind="forbidden")


def _version(if_match: str | None, *, needed: bool = True) -> Any:
    if if_match is None or if_match.strip() == "*":
        if needed and if_match is None:
            raise Problem(428, "Say which version you change: If-Match: the ETag of your read.", kind="unconditional")
        if needed:
            raise Problem(428, "If-Match: * would overwrite what others changed; name the ETag.", kind="unconditional")
        return None
    match = re.fullmatch(r'"(\d{1,15})"', if_match.strip())
    if match is None:
        raise Problem(412, f"No schedule has the ETag {if_match[:40]}.", kind="changed")
    return int(match[1])


def _trigger(asked: Any) -> Trigger:
    return from_data(asked.model_dump(exclude_none=True))


def _call(asked: CallRequest) -> dict[str, Any]:
    named = asked.model_dump(include=set(CallRequest.model_fields), exclude_unset=True)
    return {name.removesuffix("_ms"): value for name, value in named.items() if value is not None}
