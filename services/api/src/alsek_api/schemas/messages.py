"""What is told of messages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from alsek_api.schemas.names import Closed, Name, Priority, Uuid

State = Literal[
    "waiting", "ready", "delayed", "running", "dead", "succeeded", "failed", "revoked", "expired", "ended", "unknown"
]  # fmt: skip
ListedState = Literal["ready", "delayed", "running", "dead"]


class ErrorView(BaseModel):
    """What an attempt raised, in the worker."""

    name: str = Field(description="Dotted path of the class.")
    text: str | None = None
    traceback: str | None = None


class ProgressView(BaseModel):
    """What a running task said about itself."""

    done: float
    total: float | None = None
    note: str | None = None


class MessageSummary(BaseModel):
    """A message in a list. Times are ms since the epoch."""

    uuid: Uuid
    state: State
    task: str
    queue: str
    priority: int = 0
    retries: int = Field(default=0, description="Attempts that failed and were repeated.")
    deliveries: int = Field(default=0, description="How often a worker got it.")
    created_at: int | None = None
    due_at: int | None = Field(default=None, description="When it may run, if it is delayed.")
    leased_until: int | None = Field(default=None, description="When its lease ends, if it runs.")
    ended_at: int | None = None
    worker: str = Field(default="", description="Who holds it, or held it last.")
    reason: str = Field(default="", description="Why it is dead.")
    progress: ProgressView | None = None
    error: ErrorView | None = Field(default=None, description="What the last attempt raised.")


class StepView(BaseModel):
    """One step in the life of a message."""

    at: int = Field(description="When it began, ms since the epoch.")
    what: str = Field(description="`submitted`; how an attempt went; `replayed`; `dead`.")
    worker: str = ""
    host: str = ""
    duration_ms: int | None = None
    note: str = Field(default="", description="The error, in one line.")


class MessageView(MessageSummary):
    """All that is known of a message."""

    timeline: list[StepView] = Field(default_factory=list, description="What became of it, the oldest first.")

    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    timeout_ms: int | None = None
    result_ttl_ms: int | None = None
    root: str | None = Field(default=None, description="First message of the chain it belongs to.")
    parent: str | None = Field(default=None, description="The message that it is the callback of.")
    children: list[str] = Field(default_factory=list, description="Its callbacks, in the order in which they will run.")
    result_url: str
    events_url: str


class MessagePage(BaseModel):
    """Some messages of a list."""

    messages: list[MessageSummary]
    cursor: str | None = Field(description="Continues the list; null: this was the end.")


class ResultView(BaseModel):
    """How a message ended."""

    uuid: Uuid
    state: Literal["succeeded", "failed", "revoked", "expired"]
    result: Any = Field(default=None, description="What the task returned.")
    stored_at: int | None = Field(default=None, description="ms since the epoch.")
    error: ErrorView | None = None


class Waiting(BaseModel):
    """A message that has not ended yet."""

    uuid: Uuid
    state: State


class Explanation(BaseModel):
    """Why a message does not run now."""

    uuid: Uuid
    explanation: str


class RevokeRequest(Closed):
    """Messages to end."""

    uuids: list[Uuid] = Field(min_length=1, max_length=1_000)


class PriorityRequest(Closed):
    """Another priority."""

    priority: Priority


class DeadLetterFilter(Closed):
    """Which dead letters of a queue: one, those of a task or with a reason, or all."""

    uuid: Uuid | None = None
    task: Name | None = None
    reason: Literal["failed", "revoked", "expired", "crash_loop", "rejected", "unknown_task", "corrupt"] | None = None
