"""Says in one sentence why a message does not run now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from alsek.tools.facts import MessageInfo, Pause

#: What each reason of a death means, as in "it is dead: …".
REASONS = {
    "failed": "its retries are used up",
    "revoked": "it was revoked",
    "expired": "nobody ran it before its time was over",
    "crash_loop": "it ended its worker too often",
    "rejected": "its task rejected it",
    "unknown_task": "no worker that took it knows its task",
    "corrupt": "it cannot be read",
}


class Standing(NamedTuple):
    """What is around a message.

    Attributes:
        now_ms: Redis' time.
        rank: How many are ahead of it.
        worker_spoke_ms: When a worker last spoke; 0: none ever did.
        lease_ms: Length of a lease.
        pause: Of its queue.
        nobody: Why no worker will take it, as in "but …"; empty where one may.
    """

    now_ms: int
    rank: int | None
    worker_spoke_ms: int
    lease_ms: int
    pause: Pause | None = None
    nobody: str = ""


def explain(info: MessageInfo, around: Standing) -> str:
    """Give the sentence."""
    match info.state:
        case "ready":
            place = f"with {_ahead(around.rank)} in queue {info.queue}"
            if around.pause is not None:
                return f"It is ready, {place}, but {_paused(around.pause, around)}.{_past(info)}"
            return f"It is ready, {place}{_silence(around)}.{_past(info)}"
        case "delayed":
            left = (info.due_at or around.now_ms) - around.now_ms
            why = f"its retry {info.retries} waits" if info.retries else "it is delayed"
            if around.pause is not None:
                when = f"another {_span(left)}" if left > 0 else "no longer"
                return f"Not yet: {why} for {when}, and {_paused(around.pause, around)}.{_past(info)}"
            when = f"another {_span(left)}" if left > 0 else "no longer: the next worker that looks takes it up"
            return f"Not yet: {why} for {when}{_silence(around)}.{_past(info)}"
        case "running":
            left = (info.leased_until or around.now_ms) - around.now_ms
            held = f"Worker {info.worker} has it, delivery {info.deliveries}, and"
            if left <= 0:
                return f"{held} has not renewed its lease for {_span(-left)}: the next look gives it to another."
            return f"{held} its lease is good for another {_span(left)}."
        case "dead":
            why = REASONS.get(info.reason, info.reason or "nobody wrote down why")
            return f"It has been a dead letter for {_since(info, around)}: {why}.{_past(info)}"
        case ended:
            return f"It {'was' if ended == 'revoked' else 'has'} {ended}, {_since(info, around)} ago."


def _paused(pause: Pause, around: Standing) -> str:
    by = f" by {pause.by}" if pause.by else ""
    why = f" because {pause.reason}" if pause.reason else ""
    return f"the queue has been paused{by} for {_span(around.now_ms - pause.since)}{why}"


def _since(info: MessageInfo, around: Standing) -> str:
    return _span(around.now_ms - (info.ended_at or around.now_ms))


def _ahead(rank: int | None) -> str:
    if not rank:
        return "no message ahead of it"
    return "one message ahead of it" if rank == 1 else f"{rank:,} messages ahead of it"


def _silence(around: Standing) -> str:
    if not around.worker_spoke_ms:
        return ", but no worker has ever looked at this namespace"
    silent = around.now_ms - around.worker_spoke_ms
    # Whoever works here speaks at least every two thirds of a lease.
    if silent > around.lease_ms:
        return f", but no worker has spoken for {_span(silent)}"
    return f", but {around.nobody}" if around.nobody else ""


def _past(info: MessageInfo) -> str:
    if info.error is None:
        return ""
    text = " ".join((info.error.text or "").split())
    return f" Its last error: {info.error.name}{': ' + text if text else ''}."


def _span(ms: int) -> str:
    seconds = max(0, ms) / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
