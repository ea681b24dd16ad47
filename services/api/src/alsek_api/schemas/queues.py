"""What is told of queues, and done to them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from alsek_api.schemas.messages import DeadLetterFilter, MessageSummary
from alsek_api.schemas.names import Closed, ProblemView, Uuid

#: Dead letters that one request acts on; a client goes on while `complete` is false.
MOST_DEAD_LETTERS = 100_000


class PauseView(BaseModel):
    """Why a queue gives nothing."""

    reason: str
    since: int = Field(description="ms since the epoch.")
    by: str


class QueueView(BaseModel):
    """A queue at one moment."""

    name: str
    ready: int = Field(description="Messages that wait to be run now.")
    delayed: int = Field(description="Messages that wait for their time.")
    running: int = Field(description="Messages that a worker holds.")
    dead: int = Field(description="Dead letters.")
    waiting_ms: int = Field(description="How long the message at the head of the line has been ready.")
    due_in_ms: int | None = Field(description="When the next delayed message is due.")
    paused: PauseView | None = Field(description="Since when it gives nothing, and why; null: it does.")
    workers: int = Field(description="Workers that listen to it.")
    submitted_per_minute: float = Field(description="Over the last five minutes.")
    finished_per_minute: float = Field(description="What succeeded or failed for good, over the same time.")
    drain_ms: int | None = Field(description="How long what is ready will take at that pace; null: nothing finishes.")


class QueueList(BaseModel):
    """All queues that the key sees."""

    queues: list[QueueView]


class MinuteView(BaseModel):
    """What happened in a queue in one minute."""

    at: int = Field(description="When it began, ms since the epoch.")
    submitted: int
    claimed: int
    succeeded: int
    retried: int
    failed: int
    dead: dict[str, int] = Field(description="What ended badly, by reason.")
    wait_ms: float | None = Field(description="How long what was claimed had been ready, on average.")
    held_ms: float | None = Field(description="How long what succeeded had been held by its worker, on average.")


class Throughput(BaseModel):
    """What happened in a queue, minute by minute."""

    minutes: list[MinuteView] = Field(description="The oldest first; the last one goes on.")


class PauseRequest(Closed):
    """Have a queue give nothing."""

    reason: str = Field(min_length=1, max_length=500, description="For those who wonder.", examples=["database moves"])


class DeadLetterRequest(DeadLetterFilter):
    """Which dead letters of a queue to act on."""

    limit: int = Field(default=10_000, ge=1, le=MOST_DEAD_LETTERS, description="At most so many by this request.")


class DeadLettersDone(BaseModel):
    """What became of dead letters."""

    count: int = Field(description="How many were acted on.")
    complete: bool = Field(description="Whether there are no more of them.")


class MessageDone(BaseModel):
    """A message as it was before."""

    was: MessageSummary


class RevokeOutcome(BaseModel):
    """What became of one message."""

    uuid: Uuid
    status: int = Field(description="200 when it was revoked; else as a single request would have been answered.")
    problem: ProblemView | None = None


class RevokeOutcomes(BaseModel):
    """What became of messages that were to be revoked."""

    revoked: int
    outcomes: list[RevokeOutcome] = Field(description="In the order of the request.")


class Scaling(BaseModel):
    """What an autoscaler wants to know of a queue (KEDA's `metrics-api` reads one of these numbers)."""

    queue: str
    backlog: int = Field(description="Messages that are ready.")
    running: int
    backlog_age_s: float = Field(description="How long the message at the head of the line has been ready.")
    pace_per_s: float = Field(description="Messages that ended a second, lately.")
    drain_s: float | None = Field(description="When the backlog is done at this pace; null: it does not move.")
    workers: int = Field(description="Worker processes that listen to the queue.")
    desired_replicas: int = Field(description="Workers that would drain the backlog within `target_s`.")
