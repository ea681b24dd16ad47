"""Schedules: what is fired when, and the form by which people make and change them."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import HTMLResponse, Response

from alsek.core.schedules import Schedule, ScheduleStore
from alsek.core.triggers import Trigger
from alsek.exceptions import AlsekError, ScheduleConflictError, ScheduleExistsError, UnknownTaskError, ValidationError
from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Deed, Viewer, doing, viewer
from alsek_api.dashboard.form import Form
from alsek_api.dashboard.page import HEADERS, PageRoute, done, now_ms, pages_of, segment
from alsek_api.dashboard.schedule_form import UNITS, blank, fields_of, read, trigger_of
from alsek_api.dashboard.seeing import check_sees, queues_of
from alsek_api.problems import Problem
from alsek_api.service import Service

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Schedules on a page.
_A_PAGE = 100

#: Fires that are shown ahead.
_AHEAD = 10


@router.get("/schedules")
async def all_schedules(
    request: Request,
    who: Annotated[Viewer, Depends(viewer)],
    cursor: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Show all schedules with their next fires."""
    service = service_of(request)
    store = _store(service)
    page = await service.ask(store.page, _A_PAGE, cursor or None)
    shown = [one for one in page.schedules if who.principal.sees(one.queue, one.task)]
    return await pages_of(request).show(
        request, "schedules", schedules=shown, following=page.cursor, beginning=bool(cursor),
        leader=await service.ask(store.leader), counts=await service.ask(store.counts),
    )  # fmt: skip


@router.get("/schedules/new")
async def new(
    request: Request,
    who: Annotated[Viewer, Depends(viewer)],
    task: Annotated[str, Query(max_length=200)] = "",
    queue: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Show the form of a new schedule."""
    if not who.may("operate"):
        raise Problem(403, "This key has not the scope 'operate'.", kind="forbidden")
    return await _form(request, who, blank(task=task, queue=queue))


@router.get("/schedules/preview")
async def preview(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show the next fires of a trigger as it is being typed; a piece of the page."""
    del who  # that they are known is enough: nothing of anybody is shown
    fires = _ahead(Form(request.query_params))
    return HTMLResponse(pages_of(request).piece("_fires", fires=fires), headers=HEADERS)


@router.post("/schedules")
async def create(deed: Annotated[Deed, doing("operate")]) -> Response:
    """Make a schedule; or show its form again, with what is wrong or with its next fires."""
    form = deed.form
    if form.get("do") == "preview":
        return await _form(deed.request, deed.viewer, blank() | dict(form), fires=_ahead(form))
    schedule_id, task = form.text("id", 200), form.text("task", 200)
    try:
        wanted = read(form, deed.service.settings.max_depth)
        check_sees(deed.principal, wanted.call.get("queue", ""), task)
        await deed.service.ask(
            _store(deed.service).create, schedule_id, task, _needed(wanted.trigger),
            policy=wanted.policy, paused=bool(form.get("paused")), **wanted.call,
        )  # fmt: skip
    except (ValidationError, ScheduleExistsError, UnknownTaskError, Problem) as error:
        return await _form(deed.request, deed.viewer, blank() | dict(form), wrong=_said(error), status=_status(error))
    deed.tell(schedule=schedule_id, task=task)
    return await done(deed.request, f"Schedule {schedule_id} is made.", _path(schedule_id))


@router.get("/schedules/{schedule_id}")
async def one_schedule(request: Request, schedule_id: str, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show one schedule and its next fires."""
    service = service_of(request)
    schedule = await _seen(service, who, schedule_id)
    ahead: list[int] = []
    if schedule.state in ("active", "paused"):
        try:
            ahead = [_ms(at) for at in await service.ask(_store(service).preview, schedule_id, _AHEAD)]
        except AlsekError:  # a trigger that only its program knows
            ahead = [] if schedule.next_ms is None else [schedule.next_ms]
    return await pages_of(request).show(
        request, "schedule", schedule=schedule, ahead=ahead, zone=str(schedule.trigger.zone),
        leader=await service.ask(_store(service).leader),
    )  # fmt: skip


@router.get("/schedules/{schedule_id}/edit")
async def edit(request: Request, schedule_id: str, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show the form of a schedule that is there."""
    if not who.may("operate"):
        raise Problem(403, "This key has not the scope 'operate'.", kind="forbidden")
    schedule = await _seen(service_of(request), who, schedule_id)
    return await _form(request, who, fields_of(schedule), before=schedule, version=schedule.version)


@router.post("/schedules/{schedule_id}/edit")
async def change(schedule_id: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Change a schedule, unless somebody else changed it since its form was opened."""
    form, service = deed.form, deed.service
    schedule = await _seen(service, deed.viewer, schedule_id)
    version = form.whole("version", 0, 2**53 - 1)
    fields = fields_of(schedule) | dict(form)
    if form.get("do") == "preview":
        fires = _ahead(form, schedule)
        return await _form(deed.request, deed.viewer, fields, before=schedule, version=version, fires=fires)
    try:
        wanted = read(form, service.settings.max_depth, schedule)
        task = form.text("task", 200) or schedule.task
        check_sees(deed.principal, wanted.call.get("queue", schedule.queue), task)
        await service.ask(
            _store(service).update, schedule_id, version if version is not None else -1, task=task,
            trigger=wanted.trigger, policy=wanted.policy, **wanted.call,
        )  # fmt: skip
    except (ValidationError, ScheduleConflictError, UnknownTaskError, Problem) as error:
        wrong = "Somebody else changed it since you opened it. Nothing was saved: open it again to see what is new."
        return await _form(
            deed.request, deed.viewer, fields, before=schedule, version=version, status=_status(error),
            wrong=wrong if isinstance(error, ScheduleConflictError) else _said(error),
        )  # fmt: skip
    deed.tell(schedule=schedule_id, task=task)
    return await done(deed.request, f"Schedule {schedule_id} is changed.", _path(schedule_id))


@router.post("/schedules/{schedule_id}/pause")
async def pause(schedule_id: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Stop firing until it is resumed."""
    await _seen(deed.service, deed.viewer, schedule_id)
    await deed.service.ask(_store(deed.service).pause, schedule_id)
    deed.tell(schedule=schedule_id)
    return await done(deed.request, f"Schedule {schedule_id} is paused.", deed.back(_path(schedule_id)))


@router.post("/schedules/{schedule_id}/resume")
async def resume(schedule_id: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Fire again."""
    await _seen(deed.service, deed.viewer, schedule_id)
    await deed.service.ask(_store(deed.service).resume, schedule_id)
    deed.tell(schedule=schedule_id)
    return await done(deed.request, f"Schedule {schedule_id} goes on.", deed.back(_path(schedule_id)))


@router.post("/schedules/{schedule_id}/fire")
async def fire(schedule_id: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Submit one message now."""
    await _seen(deed.service, deed.viewer, schedule_id)
    uuid = await deed.service.ask(_store(deed.service).fire, schedule_id)
    deed.tell(schedule=schedule_id, uuids=[uuid])
    return await done(deed.request, f"Fired by hand, from schedule {schedule_id}.", f"/messages/{segment(uuid)}")


@router.post("/schedules/{schedule_id}/delete")
async def delete(schedule_id: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Delete a schedule, unless somebody changed it since its page was opened."""
    await _seen(deed.service, deed.viewer, schedule_id)
    version = deed.form.whole("version", 0, 2**53 - 1)
    await deed.service.ask(_store(deed.service).delete, schedule_id, version if version is not None else -1)
    deed.tell(schedule=schedule_id)
    return await done(deed.request, f"Schedule {schedule_id} is deleted.", "/schedules")


async def _form(
    request: Request,
    who: Viewer,
    fields: dict[str, str],
    *,
    before: Schedule | None = None,
    version: int | None = None,
    wrong: str = "",
    fires: dict[str, Any] | None = None,
    status: int = 200,
) -> Response:
    queues = await queues_of(request, who)
    return await pages_of(request).show(
        request, "schedule_form", status, fields=fields, before=before, version=version, wrong=wrong, fires=fires,
        units=list(UNITS), zones=sorted(available_timezones()), queues=[queue.name for queue in queues],
    )  # fmt: skip


def _ahead(form: Form, before: Schedule | None = None) -> dict[str, Any]:
    """Give the next fires of what was typed, or what is wrong with it."""
    try:
        trigger = trigger_of(form, before)
        trigger = before.trigger if trigger is None and before is not None else _needed(trigger)
        now = now_ms()
        first = trigger.first_fire(now)
        instants = [first] if first is not None and first > now else []
        after = instants[0] if instants else now
        while len(instants) < _AHEAD and (found := trigger.fire_after(after, anchor_ms=now)) is not None:
            instants.append(after := found)
    except (AlsekError, Problem) as error:
        return {"instants": [], "zone": "", "wrong": _said(error)}
    return {"instants": instants, "zone": str(trigger.zone), "wrong": ""}


def _needed(trigger: Trigger | None) -> Trigger:
    if trigger is None:
        raise ValidationError("say when to fire")
    return trigger


async def _seen(service: Service, who: Viewer, schedule_id: str) -> Schedule:
    schedule: Schedule = await service.ask(_store(service).get, schedule_id[:300])
    check_sees(who.principal, schedule.queue, schedule.task)
    return schedule


def _store(service: Service) -> ScheduleStore:
    return ScheduleStore(service.broker)


def _path(schedule_id: str) -> str:
    return f"/schedules/{segment(schedule_id)}"


def _said(error: Exception) -> str:
    return str(error.detail) if isinstance(error, Problem) else str(error)


def _status(error: Exception) -> int:
    if isinstance(error, Problem):
        return error.status_code
    return 409 if isinstance(error, ScheduleConflictError | ScheduleExistsError) else 422


def _ms(at: Any) -> int:
    return int(at.timestamp() * 1000)
