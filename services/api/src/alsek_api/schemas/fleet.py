"""What is told of tasks, workers and schedulers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class TaskView(BaseModel):
    """A task as a worker described it."""

    name: str
    queue: str
    mechanism: str
    timeout_ms: int
    max_retries: int | None
    doc: str
    parameters: dict[str, Any] = Field(description="JSON Schema of what it takes, by name.")
    keeps_results: bool
    workers: int = Field(description="Workers that know it now.")


class TaskList(BaseModel):
    """All tasks that the key sees."""

    tasks: list[TaskView]


class RunningView(BaseModel):
    """A message that a worker runs."""

    uuid: str
    queue: str
    task: str
    since: int


class WorkerView(BaseModel):
    """A worker as it described itself with its last beat. Times are ms since the epoch."""

    id: str
    host: str
    pid: int
    state: str
    queues: list[str]
    tasks: list[str]
    mechanisms: list[str]
    slots: int
    busy: int
    processes: int
    running: list[RunningView]
    started: int
    last_beat: int
    version: str
    python: str


class WorkerList(BaseModel):
    """The workers that live."""

    workers: list[WorkerView]


class LeaderView(BaseModel):
    """Who leads the schedulers."""

    identity: str
    epoch: int
    lease_ms: int


class ScheduleCountsView(BaseModel):
    """How many schedules there are of each state."""

    active: int
    paused: int
    broken: int
    ended: int


class Schedulers(BaseModel):
    """Who fires, and what there is to fire."""

    leader: LeaderView | None
    schedules: ScheduleCountsView
