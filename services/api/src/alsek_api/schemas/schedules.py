"""Schedules: what is asked of them, and what is told."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from alsek_api.schemas.names import Closed, Milliseconds, Name, Priority, SomeMilliseconds

Zone = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+\-/]+$", examples=["Europe/Vienna"])]
Moment = Annotated[str, Field(max_length=40)] | Annotated[int, Field(ge=0, le=4_102_444_800_000)]


class CronRequest(Closed):
    """Fire when the clock says so."""

    kind: Literal["cron"]
    expression: str = Field(min_length=1, max_length=200, examples=["*/5 9-17 * * mon-fri"])
    timezone: Zone = "UTC"
    start: Moment | None = Field(default=None, description="Not before: ISO 8601, or ms since the epoch.")
    end: Moment | None = Field(default=None, description="Not after.")
    both: bool = Field(default=False, description="Fire twice where the clock shows a time twice.")
    day_or: bool = Field(default=True, description="Day of the month or of the week; false: both must fit.")


class IntervalRequest(Closed):
    """Fire again and again."""

    kind: Literal["interval"]
    every_ms: SomeMilliseconds
    jitter_ms: Milliseconds = 0
    timezone: Zone = "UTC"
    start: Moment | None = None
    end: Moment | None = None


class DateRequest(Closed):
    """Fire once."""

    kind: Literal["date"]
    run_date: Moment = Field(description="ISO 8601, or ms since the epoch.", examples=["2030-01-01T12:00:00"])
    timezone: Zone = "UTC"


TriggerRequest = Annotated[CronRequest | IntervalRequest | DateRequest, Field(discriminator="kind")]


class PolicyRequest(Closed):
    """What becomes of fires that are late, or come while the last message still runs."""

    misfire: Literal["skip", "once", "all"] = "once"
    grace_ms: Milliseconds = 3_600_000
    overlap: Literal["allow", "skip", "queue_one"] = "allow"


class CallRequest(Closed):
    """What the messages of a schedule carry."""

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    queue: Name | None = None
    priority: Priority | None = None
    timeout_ms: SomeMilliseconds | None = None
    result_ttl_ms: SomeMilliseconds | None = None
    ttl_ms: SomeMilliseconds | None = None
    metadata: dict[str, Any] | None = None


class ScheduleRequest(CallRequest):
    """A schedule to make."""

    id: Name
    task: Name
    trigger: TriggerRequest
    policy: PolicyRequest = Field(default_factory=PolicyRequest)
    paused: bool = False


class ScheduleChange(CallRequest):
    """What to change of a schedule; what is not named stays as it is."""

    task: Name | None = None
    trigger: TriggerRequest | None = None
    policy: PolicyRequest | None = None


class PreviewRequest(Closed):
    """A trigger to try."""

    trigger: TriggerRequest
    count: int = Field(default=10, ge=1, le=100)


class ScheduleView(BaseModel):
    """A schedule. Times are ms since the epoch."""

    id: str
    task: str
    queue: str
    trigger: dict[str, Any]
    policy: dict[str, Any]
    state: Literal["active", "paused", "broken", "ended"]
    version: int = Field(description="As in the ETag.")
    args: list[Any] | None
    kwargs: dict[str, Any] | None
    priority: int
    timeout_ms: int | None
    result_ttl_ms: int | None
    ttl_ms: int | None
    metadata: dict[str, Any] | None
    owner: Literal["code", "user"]
    origin: str | None
    reason: str | None = Field(description="Why it is broken.")
    next_fire: str | None = Field(description="In the time zone of the trigger.")
    next_at: int | None
    last_at: int | None
    last_uuid: str | None
    fired: int
    missed: int
    dropped: int
    created_at: int
    updated_at: int


class ScheduleList(BaseModel):
    """Some schedules."""

    schedules: list[ScheduleView]
    cursor: str | None = Field(description="Continues the list; null: this was the end.")


class Fired(BaseModel):
    """A message that a schedule submitted."""

    uuid: str
    status_url: str


class Preview(BaseModel):
    """When a trigger fires."""

    fires: list[str] = Field(description="In its time zone.")
