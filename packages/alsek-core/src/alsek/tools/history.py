"""What became of a message, step by step: pieced together from its record, its history of attempts, or its receipt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from alsek.tools.facts import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alsek.tools.facts import MessageInfo

#: Ends that no worker brought about.
_WITHOUT_AN_ATTEMPT: Final = {"expired", "revoked", "failed"}


def timeline(info: MessageInfo, history: str) -> tuple[Step, ...]:
    """Give the steps of a message, the oldest first.

    Args:
        info: What is known of it otherwise.
        history: Of its attempts that did not end well, as its record keeps it.
    """
    steps = [] if info.created_at is None else [Step(info.created_at, "submitted")]
    steps += [step for line in history.split("\n") if (step := _of_line(line)) is not None]
    if info.state == "running" and info.claimed_at is not None:
        steps.append(Step(info.claimed_at, "running", info.worker))
    elif info.state == "succeeded" and info.ended_at is not None:
        began = info.claimed_at if info.claimed_at is not None else info.ended_at
        steps.append(Step(began, "succeeded", info.worker, duration_ms=info.ended_at - began))
    elif info.state in _WITHOUT_AN_ATTEMPT and info.ended_at is not None:
        steps.append(Step(info.ended_at, info.state, note=_error(info)))
    elif info.state == "dead" and info.ended_at is not None:
        steps.append(Step(info.ended_at, "dead", note=info.reason))
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


def _error(info: MessageInfo) -> str:
    if info.error is None:
        return ""
    return " ".join(f"{info.error.name.rpartition('.')[2]}: {info.error.text or ''}".split())
