"""Tokens against time: who held a message when, and who wrote after losing it."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from harness.journal import Event

#: Writes that only the present holder may make.
WRITE_OPS = frozenset({"renew", "ack", "fail", "retry", "release", "progress", "result"})
#: Verbs that end a message; the first to succeed is its outcome. Journal `revoke` as NOTE where it only asks.
FINAL_OPS = frozenset({"ack", "fail", "dead_letter", "revoke", "expire"})


@dataclass(frozen=True, slots=True)
class _Claim:
    token: str
    #: First sign of life under this token; the claim itself was earlier.
    seen: int


def stale_writes(events: Iterable[Event], write_ops: Collection[str] = WRITE_OPS) -> tuple[str, ...]:
    """Successful writes asked for after a later claim of the same message was seen.

    A write whose CALL came before that first sign may have been in time, so it is
    left out; one without a CALL counts from its OK. A write that OK'd is no proof of
    a claim, START and `OK claim` are.
    """
    events = list(events)
    claims = _claims(events)
    called: dict[tuple[int, str, str, str | None], int] = {}
    stale: list[str] = []
    for event in events:
        if event.op not in write_ops or event.token is None:
            continue
        call = (event.pid, event.op, event.uuid, event.token)
        if event.kind == "CALL":
            called[call] = event.t
        elif event.kind == "OK":
            asked = called.pop(call, event.t)
            later = _superseded_by(event.token, claims.get(event.uuid, []), asked)
            if later is not None:
                stale.append(f"{event.op} {event.uuid} under {event.token} after {later} (pid {event.pid})")
    return tuple(stale)


def double_finals(events: Iterable[Event], final_ops: Collection[str] = FINAL_OPS) -> set[str]:
    """Ids for which more than one claim, or more than one verb, ended the message.

    The same verb repeated under the same token is an idempotent retry, not a second outcome.
    """
    outcomes: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
    for event in events:
        if event.kind == "OK" and event.op in final_ops:
            outcomes[event.uuid].add((event.op, event.token))
    return {uuid for uuid, finals in outcomes.items() if len(finals) > 1}


def _claims(events: Iterable[Event]) -> dict[str, list[_Claim]]:
    first: dict[str, dict[str, int]] = defaultdict(dict)
    for event in events:
        shows_claim = event.kind == "START" or (event.kind == "OK" and event.op == "claim")
        if shows_claim and event.token is not None:
            first[event.uuid].setdefault(event.token, event.t)
    return {uuid: [_Claim(token, seen) for token, seen in tokens.items()] for uuid, tokens in first.items()}


def _superseded_by(token: str, claims: list[_Claim], asked: int) -> str | None:
    own = next((claim for claim in claims if claim.token == token), None)
    for other in claims:
        if other.token != token and other.seen < asked and _later(other, own, token):
            return other.token
    return None


def _later(other: _Claim, own: _Claim | None, token: str) -> bool:
    ours, theirs = _epoch(token), _epoch(other.token)
    if ours is not None and theirs is not None and ours[0] == theirs[0]:
        return theirs[1] > ours[1]
    return own is None or other.seen > own.seen


def _epoch(token: str) -> tuple[str, int] | None:
    """Incarnation and epoch of an `incarnation.epoch.random` token, which order claims exactly.

    First signs in the journal do not: a worker stopped between claim and START shows up late.
    """
    parts = token.split(".")
    return (parts[0], int(parts[1])) if len(parts) == 3 and parts[1].isdecimal() else None
