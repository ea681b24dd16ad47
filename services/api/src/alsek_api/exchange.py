"""What both clients share: how a question is asked, an answer read, and when asking again is right."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from alsek.exceptions import AlsekError, TaskFailedError
from alsek.types import ExceptionDetails

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import httpx

#: Longest wait that one long poll asks for, seconds.
LONGEST_POLL_S: Final = 30.0

#: Attempts at what may be repeated, and the longest pause between two, seconds.
MOST_ATTEMPTS: Final = 5
LONGEST_PAUSE_S: Final = 10.0


class ApiError(AlsekError):
    """The service refused; the problem says why."""

    def __init__(self, *args: object, status: int = 0, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(*args)
        self.status = status
        """Of the response; 0: there was none."""
        self.problem = dict(problem or {})
        """Its body (RFC 9457)."""


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A message that was stored.

    Attributes:
        uuid: Its id.
        task: Its task.
        queue: Its queue.
        callbacks: Ids of its callbacks.
        warnings: What looks wrong about its arguments.
    """

    uuid: str
    task: str
    queue: str
    callbacks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message of many.

    Attributes:
        status: 202 when it was stored.
        uuid: Its id; `None` when it was refused.
        problem: Why.
    """

    status: int
    uuid: str | None = None
    problem: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether it was stored."""
        return self.status == 202


@dataclass(frozen=True, slots=True)
class Question:
    """A request.

    Attributes:
        method: Of HTTP.
        path: With its query.
        body: As JSON.
        headers: Of its own.
        repeatable: Whether asking again does no harm.
    """

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False


def enqueue(
    task: str, args: Iterable[Any], kwargs: Mapping[str, Any] | None, key: str | None, options: Any
) -> Question:
    """Ask to store a message; with an Idempotency-Key always, so that a lost answer can be asked for again."""
    body = {"task": task, "args": list(args), "kwargs": dict(kwargs or {}), **options}
    return Question("POST", "/v1/messages", body, _once(key), repeatable=True)


def enqueue_many(messages: Iterable[Mapping[str, Any]], key: str | None) -> Question:
    """Ask to store many messages."""
    return Question("POST", "/v1/messages:batch", {"messages": list(messages)}, _once(key), repeatable=True)


def read(path: str) -> Question:
    """Ask for something."""
    return Question("GET", path, repeatable=True)


def of_message(message: str, rest: str = "") -> str:
    """Give the path of a message, or of something of it."""
    return f"/v1/messages/{quote(message, safe='')}{rest}"


def enqueued(answer: Mapping[str, Any]) -> Enqueued:
    """Read what `enqueue` was answered."""
    return Enqueued(
        answer["uuid"], answer["task"], answer["queue"], tuple(answer["callbacks"]), tuple(answer["warnings"])
    )


def outcomes(answer: Mapping[str, Any]) -> list[Outcome]:
    """Read what `enqueue_many` was answered."""
    return [Outcome(one["status"], one.get("uuid"), one.get("problem", {})) for one in answer["outcomes"]]


def value_of(answer: Mapping[str, Any]) -> Any:
    """Read a result.

    Raises:
        TaskFailedError: The task failed, was revoked or expired.
    """
    if answer["state"] == "succeeded":
        return answer["result"]
    error = answer.get("error")
    details = None if error is None else ExceptionDetails(**error)
    what = "" if details is None else f": {details.name}: {details.text}"
    raise TaskFailedError(
        f"message {answer['uuid']} {answer['state']}{what}", uuid=answer["uuid"], exception_details=details
    )


def refusal(response: httpx.Response) -> ApiError:
    """Give the error that a response stands for."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    detail = problem.get("detail") or response.reason_phrase
    return ApiError(f"{response.status_code}: {detail}", status=response.status_code, problem=problem)


def pause_s(response: httpx.Response | None, attempt: int) -> float | None:
    """Give how long to wait before asking again; `None`: there is no use in it.

    Args:
        response: That came; `None`: none did.
        attempt: How many came before.
    """
    if response is None:
        return min(LONGEST_PAUSE_S, 0.1 * 2.0**attempt)
    if response.status_code not in (429, 503):
        return None
    told = response.headers.get("retry-after", "1")
    return min(LONGEST_PAUSE_S, float(told) if told.isdigit() else 1.0)


class Events:
    """Reads Server-Sent Events line by line."""

    def __init__(self) -> None:
        self.last_id = ""
        """Of the last event; told when the connection is made anew."""
        self._data = ""

    def feed(self, line: str) -> dict[str, Any] | None:
        """Take a line; gives an event when it is whole."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data = value
        elif name == "id":
            self.last_id = value
        elif not line and self._data:
            event: dict[str, Any] = json.loads(self._data)
            self._data = ""
            return event
        return None

    @property
    def headers(self) -> dict[str, str]:
        """What the next request says."""
        return {"Last-Event-ID": self.last_id} if self.last_id else {}


#: Events of these states are the last ones.
ENDS: Final = frozenset({"succeeded", "failed", "revoked", "expired", "ended"})


def _once(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid.uuid4().hex}
