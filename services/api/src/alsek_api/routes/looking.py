"""Look around: queues, tasks, workers, schedulers, and what an autoscaler wants to know."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from alsek.tools.facts import QueueInfo, TaskInfo
from alsek_api.auth.guard import caller, needs, service_of
from alsek_api.bodies import JsonResponse, StrictRoute
from alsek_api.problems import Problem
from alsek_api.routes.acting import Queue
from alsek_api.routes.examples import UUID, problems, shows
from alsek_api.scaling import plan
from alsek_api.schemas.fleet import Schedulers, TaskList, TaskView, WorkerList
from alsek_api.schemas.names import NAME
from alsek_api.schemas.queues import QueueList, QueueView, Scaling, Throughput

router = APIRouter(route_class=StrictRoute, tags=["look"])

_QUEUE = {
    "name": "mail", "ready": 12, "delayed": 3, "running": 8, "dead": 1, "waiting_ms": 850, "due_in_ms": 4_000,
    "paused": None, "workers": 2, "submitted_per_minute": 90.0, "finished_per_minute": 84.0, "drain_ms": 8_571,
}  # fmt: skip
_MINUTE = {
    "at": 1_794_000_000_000, "submitted": 90, "claimed": 91, "succeeded": 82, "retried": 7, "failed": 2,
    "dead": {"failed": 2}, "wait_ms": 41.5, "held_ms": 612.0,
}  # fmt: skip
_TASK: dict[str, Any] = {
    "name": "send_mail", "queue": "mail", "mechanism": "thread", "timeout_ms": 30_000, "max_retries": 3,
    "doc": "Send one mail.", "parameters": {"type": "object", "properties": {"to": {"type": "string"}}},
    "keeps_results": True, "workers": 2,
}  # fmt: skip
_WORKER: dict[str, Any] = {
    "id": "293048380b461c35", "host": "worker-7", "pid": 4711, "state": "running", "queues": ["mail"],
    "tasks": ["send_mail"], "mechanisms": ["thread"], "slots": 8, "busy": 1, "processes": 1,
    "running": [{"uuid": UUID, "queue": "mail", "task": "send_mail", "since": 1_794_000_000_000}],
    "started": 1_794_000_000_000, "last_beat": 1_794_000_009_000, "version": "0.1.0", "python": "3.11.7",
}  # fmt: skip
_SCHEDULERS = {
    "leader": {"identity": "host-4711-9f3a", "epoch": 3, "lease_ms": 10_000},
    "schedules": {"active": 12, "paused": 1, "broken": 0, "ended": 2},
}
_SCALING = {
    "queue": "mail", "backlog": 120, "running": 8, "backlog_age_s": 4.2, "pace_per_s": 10.0, "drain_s": 12.0,
    "workers": 2, "desired_replicas": 3,
}  # fmt: skip


@router.get(
    "/v1/queues",
    response_model=QueueList,
    summary="List queues",
    responses={200: shows({"queues": [_QUEUE]}), **problems()},
    **needs("read"),
)
async def queues(request: Request) -> Response:
    """List all queues that the key sees, with their counts; costs the same with a million messages."""
    service, principal = service_of(request), caller(request)
    found = await service.ask(service.inspector.queues)
    return JsonResponse({"queues": [_queue(one) for one in found if principal.sees(one.name)]})


@router.get(
    "/v1/queues/{queue}",
    response_model=QueueView,
    summary="Read a queue",
    responses={200: shows(_QUEUE), **problems(404)},
    **needs("read"),
)
async def queue(request: Request, queue: Queue) -> Response:
    """Read the counts of a queue; one that never had a message is empty."""
    return JsonResponse(_queue(await _seen(request, queue)))


@router.get(
    "/v1/queues/{queue}/throughput",
    response_model=Throughput,
    summary="Read the throughput of a queue",
    responses={200: shows({"minutes": [_MINUTE]}), **problems(404)},
    **needs("read"),
)
async def throughput(
    request: Request,
    queue: Queue,
    minutes: Annotated[int, Query(ge=1, le=300, description="How many, up to now.")] = 60,
) -> Response:
    """Say what happened in a queue minute by minute: submitted, claimed, succeeded, failed, and how long it took."""
    service = service_of(request)
    await _seen(request, queue)
    found = await service.ask(service.inspector.throughput, queue, minutes)
    return JsonResponse({"minutes": [asdict(one) for one in found]})


@router.get(
    "/v1/scaling/{queue}",
    response_model=Scaling,
    summary="Advise an autoscaler",
    responses={200: shows(_SCALING), **problems(404)},
    **needs("read"),
)
async def scaling(
    request: Request,
    queue: Queue,
    target_s: Annotated[float, Query(ge=1, le=86_400, description="Seconds in which a backlog is to be done.")] = 60,
    most: Annotated[int, Query(ge=1, le=10_000, description="Never advise more workers.")] = 100,
) -> Response:
    """Say how many workers a queue wants: from its backlog, its pace, and what runs. Made for KEDA's `metrics-api`."""
    service = service_of(request)
    info = await _seen(request, queue)
    workers = await service.ask(service.inspector.workers)
    return JsonResponse(plan(info, workers, target_s, most))


@router.get(
    "/v1/tasks",
    response_model=TaskList,
    summary="List tasks",
    responses={200: shows({"tasks": [_TASK]}), **problems()},
    **needs("read"),
)
async def tasks(request: Request) -> Response:
    """List the tasks that workers published in the last seven days, with the JSON Schema of their parameters."""
    service, principal = service_of(request), caller(request)
    found = await service.ask(service.inspector.tasks)
    return JsonResponse({"tasks": [_task(one) for one in found if principal.sees(one.queue, one.name)]})


@router.get(
    "/v1/tasks/{task}",
    response_model=TaskView,
    summary="Read a task",
    responses={200: shows(_TASK), **problems(404)},
    **needs("read"),
)
async def task(
    request: Request, task: Annotated[str, Path(pattern=NAME, description="Name of the task.", examples=["send_mail"])]
) -> Response:
    """Read what the workers published of a task."""
    service, principal = service_of(request), caller(request)
    found = await service.ask(service.inspector.task, task)
    if not principal.sees(found.queue, found.name):
        raise Problem(404, f"There is no task {task}.", kind="no-such-task")
    return JsonResponse(_task(found))


@router.get(
    "/v1/workers",
    response_model=WorkerList,
    summary="List workers",
    responses={200: shows({"workers": [_WORKER]}), **problems()},
    **needs("read"),
)
async def workers(request: Request) -> Response:
    """List the workers that live, and what they run; a limited key sees only its queues and tasks of them."""
    service, principal = service_of(request), caller(request)
    shown = []
    for one in await service.ask(service.inspector.workers):
        view = asdict(one)
        view.pop("narrowed", None)
        view["queues"] = [name for name in one.queues if principal.sees(name)]
        view["tasks"] = [name for name in one.tasks if not principal.tasks or principal.sees(one.queues[0], name)]
        view["running"] = [asdict(run) for run in one.running if principal.sees(run.queue, run.task)]
        if view["queues"]:
            shown.append(view)
    return JsonResponse({"workers": shown})


@router.get(
    "/v1/schedulers",
    response_model=Schedulers,
    summary="Ask for the schedulers",
    responses={200: shows(_SCHEDULERS), **problems()},
    **needs("read"),
)
async def schedulers(request: Request) -> Response:
    """Say who leads the schedulers, and how many schedules there are. Without a leader nothing is fired."""
    service = service_of(request)
    leader = await service.ask(service.schedules.leader)
    counts = await service.ask(service.schedules.counts)
    return JsonResponse({"leader": None if leader is None else asdict(leader), "schedules": asdict(counts)})


async def _seen(request: Request, name: str) -> QueueInfo:
    service = service_of(request)
    if not caller(request).sees(name):
        raise Problem(404, f"There is no queue {name}.", kind="no-such-queue")
    found: QueueInfo = await service.ask(service.inspector.queue, name)
    return found


def _queue(info: QueueInfo) -> dict[str, Any]:
    return asdict(info)


def _task(info: TaskInfo) -> dict[str, Any]:
    view = asdict(info)
    view["timeout_ms"] = view.pop("timeout")
    return view
