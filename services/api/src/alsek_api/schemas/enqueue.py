"""Requests to enqueue, and what they are answered."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from alsek.defaults import DEFAULT_TTL
from alsek_api.schemas.names import Closed, Milliseconds, Name, Priority, ProblemView, SomeMilliseconds, Uuid

#: Messages of one bulk request.
MOST_IN_A_BATCH: Final = 10_000

#: Longer chains are a mistake; each callback travels inside the one before it.
MOST_CALLBACKS: Final = 50


class BackoffRequest(Closed):
    """How long to wait between attempts."""

    algorithm: Literal["ConstantBackoff", "LinearBackoff", "ExponentialBackoff"]
    parameters: dict[str, Any] = Field(default_factory=dict, examples=[{"base": 4, "factor": 10_000}])


class CallbackRequest(Closed):
    """A message that is submitted when the one before it has succeeded."""

    task: Name
    args: list[Any] = Field(default_factory=list)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    queue: Name | None = Field(default=None, description="The task's own by default.")
    priority: Priority = Field(default=0, description="Lower runs sooner.")
    delay_ms: Milliseconds = Field(default=0, description="Wait so long before the first attempt.")
    timeout_ms: SomeMilliseconds | None = Field(
        default=None, description="How long one attempt may take. The task's own by default."
    )
    result_ttl_ms: SomeMilliseconds | None = Field(default=None, description="How long the result is kept.")
    metadata: dict[str, Any] | None = Field(default=None, description="Whatever else should travel along.")
    backoff: BackoffRequest | None = Field(default=None, description="Between attempts. The task's own by default.")


class EnqueueRequest(CallbackRequest):
    """A message to enqueue."""

    run_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description="Instead of a delay: not before this time (RFC 3339, with its offset)."
    )
    ttl_ms: SomeMilliseconds | None = Field(
        default=DEFAULT_TTL, description="A message that nobody ran for so long ends as expired; null: never."
    )
    callbacks: list[CallbackRequest] = Field(
        default_factory=list, max_length=MOST_CALLBACKS, description="Run one after the other, each after success."
    )

    @field_validator("run_at")
    @classmethod
    def _is_a_moment(cls, text: str | None) -> str | None:
        if text is not None and moment_of(text) is None:
            raise ValueError("that is no time with an offset, such as 2030-01-01T12:00:00+00:00")
        return text

    @model_validator(mode="after")
    def _one_or_the_other(self) -> EnqueueRequest:
        if self.run_at is not None and self.delay_ms:
            raise ValueError("give delay_ms or run_at, not both")
        return self


class BatchRequest(Closed):
    """Many messages to enqueue."""

    messages: list[EnqueueRequest] = Field(min_length=1, max_length=MOST_IN_A_BATCH)


class Accepted(BaseModel):
    """A message that was stored, and where it can be followed."""

    uuid: Uuid
    task: str
    queue: str
    status_url: str
    result_url: str
    events_url: str
    callbacks: list[Uuid] = Field(default_factory=list, description="Ids of the callbacks, in their order.")
    warnings: list[str] = Field(default_factory=list, description="What looks wrong about the arguments.")


class Outcome(BaseModel):
    """What became of one message of a bulk request."""

    status: int = Field(description="202 when it was stored; else as a single request would have been answered.")
    uuid: Uuid | None = None
    warnings: list[str] = Field(default_factory=list)
    problem: ProblemView | None = None


class BatchOutcome(BaseModel):
    """What became of a bulk request."""

    accepted: int
    rejected: int
    outcomes: list[Outcome] = Field(description="In the order of the messages.")


def moment_of(text: str) -> int | None:
    """Read an RFC 3339 time: ms since the epoch; `None` when it is none, or says no offset."""
    if len(text) > 40:
        return None
    try:
        found = datetime.fromisoformat(text)
        return None if found.tzinfo is None else int(found.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
