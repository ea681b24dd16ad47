"""The tasks that workers published, and the form to enqueue one by hand."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError as PydanticError
from starlette.responses import Response

from alsek.defaults import MAX_PRIORITY
from alsek.exceptions import BackendUnavailableError
from alsek.tools.inspector import TaskInfo
from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Deed, Viewer, doing, viewer
from alsek_api.dashboard.form import Form
from alsek_api.dashboard.page import PageRoute, done, pages_of, segment
from alsek_api.dashboard.schema_form import WrongInputError, arguments_of, inputs_of, takes_more
from alsek_api.dashboard.seeing import check_sees
from alsek_api.problems import Problem
from alsek_api.schemas.enqueue import EnqueueRequest
from alsek_api.service import Service

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: A month, ms: longest delay that a person types in.
_LONGEST_DELAY_S = 31 * 86_400


@router.get("/tasks")
async def all_tasks(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show all tasks that workers know."""
    service = service_of(request)
    tasks = [one for one in await service.ask(service.inspector.tasks) if who.principal.sees(one.queue, one.name)]
    return await pages_of(request).show(request, "tasks", tasks=tasks)


@router.get("/tasks/{name}")
async def one_task(request: Request, name: str, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show one task, with the form to enqueue it."""
    task = await _seen(service_of(request), who, name)
    return await _show(request, task, {}, {})


@router.post("/tasks/{name}")
async def enqueue(name: str, deed: Annotated[Deed, doing("enqueue")]) -> Response:
    """Enqueue a task with what was typed; or show the form again, with what is wrong."""
    service, form = deed.service, deed.form
    task = await _seen(service, deed.viewer, name)
    try:
        asked = _request(task, form, service.settings.max_depth)
        await service.registry.refresh()
        prepared = service.incoming.prepare(asked, deed.principal)
    except WrongInputError as error:
        return await _show(deed.request, task, dict(form), error.errors, status=422)
    except Problem as problem:
        return await _show(
            deed.request, task, dict(form), {"arguments": str(problem.detail)}, status=problem.status_code
        )
    if prepared.warnings:  # a program may know better than the schema; a person who types gets another look
        wrong = {"arguments": "; ".join(prepared.warnings)}
        return await _show(deed.request, task, dict(form), wrong, status=422)
    message = prepared.message
    await service.budgets.spend_messages(deed.principal, 1)
    deed.tell(queue=message.queue, task=task.name, uuids=[message.uuid])
    try:
        await service.incoming.store(prepared)
    except BackendUnavailableError as error:
        if not error.ambiguous:
            raise
        raise Problem(
            503, f"Redis did not answer. Look for message {message.uuid} before you send it again.", kind="unavailable"
        ) from None
    return await done(deed.request, f"Enqueued {task.name}.", f"/messages/{segment(message.uuid)}")


def _request(task: TaskInfo, form: Form, max_depth: int) -> EnqueueRequest:
    """Make of a form what the API takes as JSON, so that both go one road."""
    errors: dict[str, str] = {}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    try:
        args, kwargs = arguments_of(form, task.parameters, max_depth)
    except WrongInputError as error:
        errors = error.errors
    numbers: dict[str, int] = {}
    for name, most in (("priority", MAX_PRIORITY), ("delay_s", _LONGEST_DELAY_S)):
        try:
            numbers[name] = form.whole(name, 0, most) or 0
        except Problem as problem:
            errors[name] = str(problem.detail).removeprefix(f"{name} ").removesuffix(".")
    if errors:
        raise WrongInputError(errors)
    try:
        return EnqueueRequest(
            task=task.name, args=args, kwargs=kwargs, queue=form.text("queue", 200) or task.queue,
            priority=numbers["priority"], delay_ms=numbers["delay_s"] * 1_000,
        )  # fmt: skip
    except PydanticError as error:
        raise WrongInputError({str(one["loc"][0]): one["msg"] for one in error.errors()}) from None


async def _show(
    request: Request, task: TaskInfo, typed: dict[str, str], errors: dict[str, str], *, status: int = 200
) -> Response:
    more_args, more_kwargs = takes_more(task.parameters)
    return await pages_of(request).show(
        request, "task", status, task=task, inputs=inputs_of(task.parameters), more_args=more_args,
        more_kwargs=more_kwargs, typed=typed, errors=errors,
    )  # fmt: skip


async def _seen(service: Service, who: Viewer, name: str) -> TaskInfo:
    tasks: list[TaskInfo] = await service.ask(service.inspector.tasks)
    task = next((one for one in tasks if one.name == name), None)
    if task is None:
        raise Problem(404, f"No worker has published a task {name[:200]}.", kind="not-found")
    check_sees(who.principal, task.queue, task.name)
    return task
