"""How long work stood still after its process was killed, read from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.journal import Event


@dataclass(frozen=True, slots=True)
class Kill:
    """One blow.

    Attributes:
        what: `child`, `supervisor` or `fork server`.
        pids: All that died of it.
        t: Monotonic ns.
    """

    what: str
    pids: frozenset[int]
    t: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """One message that was started again."""

    uuid: str
    kill: Kill
    seconds: float


def recoveries(events: Iterable[Event], kills: Sequence[Kill]) -> list[Recovery]:
    """Every message that ran in a process when that was killed, and how long until it ran again.

    One that had ended before the blow but was not settled counts, too, if it ran again; one that had failed does not,
    nor one that was claimed in between by somebody who was killed before it began.
    """
    events = list(events)
    failed = {(event.uuid, event.token) for event in events if event.kind == "FAIL"}
    starts: dict[str, list[Event]] = {}
    for event in events:
        if event.kind == "START":
            starts.setdefault(event.uuid, []).append(event)
    found = []
    for kill in kills:
        for uuid, runs in starts.items():
            for run, following in pairwise(runs):
                hit = run.pid in kill.pids and run.t < kill.t < following.t and (uuid, run.token) not in failed
                if hit and following.fields["deliveries"] == run.fields["deliveries"] + 1:
                    found.append(Recovery(uuid, kill, (following.t - kill.t) / 1e9))
    return found
