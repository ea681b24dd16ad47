"""What became of a message, step by step: pieced together from its record, its history of attempts, or its receipt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from alsek.tools.facts import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.types import ExceptionDetails

#: Ends that no worker brought about.
_WITHOUT_AN_ATTEMPT: Final = {"expired", "revoked", "failed"}


class Life(NamedTuple):
    """What a timeline is made of; see `MessageInfo`."""

    state: str
    created_at: int | None = None
    claimed_at: int | None = None
    ended_at: int | None = None
    worker: str = ""
    reason: str = ""
    error: ExceptionDetails | None = None


def timeline(life: Life, history: str) -> tuple[Step, ...]:
    """Give the steps of a message, the oldest first.

    Args:
        life: What is known of it otherwise.
        history: Of its attempts that did not end well, as its record keeps it.
    """
    steps = [] if life.created_at is None else [Step(life.created_at, "submitted")]
    steps += [step for line in history.split("\n") if (step := _of_line(line)) is not None]
    if life.state == "running" and life.claimed_at is not None:
        steps.append(Step(life.claimed_at, "running", life.worker))
    elif life.state == "succeeded" and life.ended_at is not None:
        began = life.claimed_at if life.claimed_at is not None else life.ended_at
        steps.append(Step(began, "succeeded", life.worker, duration_ms=life.ended_at - began))
    elif life.state in _WITHOUT_AN_ATTEMPT and life.ended_at is not None:
        steps.append(Step(life.ended_at, life.state, note=_error(life)))
    elif life.state == "dead" and life.ended_at is not None:
        steps.append(Step(life.ended_at, "dead", note=life.reason))
    return tuple(steps)


def with_hosts(steps: tuple[Step, ...], hosts: Mapping[str, str], now_ms: int) -> tuple[Step, ...]:
    """Add where the workers ran, and how long what runs has been running."""
    return tuple(
        replace(
            step,
            host=hosts.get(step.worker, ""),
            duration_ms=max(0, now_ms - step.at) if step.what == "running" else step.duration_ms,
        )
        for step in steps
    )


def _of_line(line: str) -> Step | None:
    parts = line.split(" ", 4)
    if len(parts) < 4 or not (parts[0].isdigit() and parts[1].isdigit()):
        return None
    claimed, ended, token, how = int(parts[0]), int(parts[1]), parts[2], parts[3]
    note = parts[4] if len(parts) > 4 else ""
    if not token:
        return Step(ended, how, note=note)
    began = claimed or ended  # a record of an older release knows no claim
    return Step(began, how, token.partition(".")[0], duration_ms=ended - began, note=note)


def _error(life: Life) -> str:
    if life.error is None:
        return ""
    return " ".join(f"{life.error.name.rpartition('.')[2]}: {life.error.text or ''}".split())
