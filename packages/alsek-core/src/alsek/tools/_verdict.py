"""What is wrong with one message, given its record and the indexes it stands in. Touches no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from alsek.core.record import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: The four indexes of a queue, by the state of the messages in them.
INDEXES: Final = {"r": "ready", "d": "delayed", "l": "leases", "x": "dead letters"}
#: First letters of the receipts that messages leave for a while when they are over.
ENDED: Final = {"S": "succeeded", "F": "failed", "V": "was revoked", "E": "expired"}

_NUMBERS: Final = ("p", "n", "d", "f", "x", "k")

_REMOVE: Final = "remove it with Broker.remove and submit it again"

WHAT_TO_DO: Final[dict[str, str]] = {
    "no_record": "nothing: workers drop the id when they meet it; look for who deletes keys",
    "lease_without_record": "nothing: the id is dropped when the lease ends; look for who deletes keys",
    "wrong_type": "somebody else writes into this namespace: stop that, then delete the key",
    "unknown_state": "the record is damaged or newer than this release: audit with the newest release",
    "live_with_ttl": "PERSIST the record's key at once: the message would vanish; look for who sets expiries",
    "in_no_index": f"no worker will ever see it: {_REMOVE}",
    "in_several_indexes": f"it may run more than once: {_REMOVE}",
    "wrong_index": f"its record and its index disagree: {_REMOVE}",
    "wrong_queue": f"it stands in a queue that is not its own: {_REMOVE}",
    "wrong_partition": "programs with different numbers of partitions share this namespace: give all the same",
    "unknown_partition": "the number of partitions was lowered: raise it again until the queues are empty",
    "lease_without_token": "nothing: it becomes ready when the lease ends",
    "lease_without_fence": "nothing: it becomes ready when the lease ends",
    "no_task": f"the record is damaged and no worker can run it: {_REMOVE}",
    "no_body": f"the record is damaged and no worker can run it: {_REMOVE}",
    "unreadable_body": "it will end among the dead letters; look for who writes into this namespace",
    "unreadable_number": f"the record is damaged: {_REMOVE}",
    "ended_without_ttl": "delete the receipt's key: it would stay for ever",
    "ended_in_index": "nothing: workers drop the id when they meet it",
    "stays_for_ever": "delete the key, or give it an expiry: nothing else will",
    "several_wake_markers": "delete all but one: each wakes a worker for nothing",
    "unknown_queue": "add the queue's name to the set `queues` of the partition",
}


class Place(NamedTuple):
    """One index of one queue."""

    letter: str
    queue: str

    def __str__(self) -> str:
        return f"the {INDEXES[self.letter]} of {self.queue}"


class Facts(NamedTuple):
    """One message as its record shows it.

    Attributes:
        partition: Where the record lies.
        uuid: Of the message.
        kind: Redis type of the record's key; "none" when there is none.
        fields: The record, as far as it could be read.
        receipt: First letter of the receipt that stands in its place; empty when none does.
        left_ms: Time until the record vanishes; -1: never.
        queue: The queue that its body names; empty when unknown.
        problem: Why its body cannot be read; empty if it can.
        newer: Whether a newer release wrote the body.
        at_home: Whether this is the partition that its uuid leads to.
    """

    partition: int
    uuid: str
    kind: str
    fields: Mapping[str, str]
    receipt: str
    left_ms: int
    queue: str
    problem: str
    newer: bool
    at_home: bool


def judge(facts: Facts, places: Sequence[Place]) -> list[tuple[str, str]]:
    """Give each thing that is wrong, as its kind and in words.

    Args:
        facts: The record.
        places: Where the id stands.
    """
    if facts.kind == "none":
        return [
            ("lease_without_record" if place.letter == "l" else "no_record", f"it stands in {place}, without a record")
            for place in places
        ]
    if facts.kind == "string" and facts.receipt in ENDED:
        how = ENDED[facts.receipt]
        stays = [("ended_without_ttl", f"it {how}, and its receipt does not vanish")] if facts.left_ms == -1 else []
        return stays + [("ended_in_index", f"it {how}, and stands in {place}") for place in places]
    if facts.kind != "hash":
        return [("wrong_type", f"its record is a {facts.kind} and no receipt")]
    state = facts.fields.get("s")
    found = list(_of_any(facts))
    if state in INDEXES:
        found += _of_live(facts, state)
        found += _of_places(facts, state, places)
    else:
        found.append(("unknown_state", f"its state is {state!r}"))
    return found


def queue_of(body: bytes) -> tuple[str, str]:
    """Read the queue from a body, or why it cannot be read; user data stays closed.

    Args:
        body: In a format that this release knows.
    """
    if body[:1] != bytes([VERSION]):
        return "", "its body has no valid version byte"
    try:
        return msgspec.msgpack.decode(memoryview(body)[1:], type=_Head).q, ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return "", f"its body cannot be read: {error}"


class _Head(msgspec.Struct):
    """The part of a body that says where its message belongs."""

    q: str


def _of_any(facts: Facts) -> Iterator[tuple[str, str]]:
    if not facts.at_home:
        yield "wrong_partition", f"its uuid does not lead to partition {facts.partition}"
    for name in _NUMBERS:
        text = facts.fields.get(name)
        if text is not None and not text.lstrip("-").isdecimal():
            yield "unreadable_number", f"field {name} of its record is {text[:40]!r}"


def _of_live(facts: Facts, state: str) -> Iterator[tuple[str, str]]:
    if facts.left_ms >= 0:
        yield "live_with_ttl", f"it has not ended, and its record vanishes in {facts.left_ms:,} ms"
    if state == "l" and not facts.fields.get("t"):
        yield "lease_without_token", "it is leased to nobody"
    if state == "l" and facts.fields.get("f", "0") in ("0", "-0"):
        yield "lease_without_fence", "it is leased, and was never claimed"
    if "T" not in facts.fields:
        yield "no_task", "its record names no task"
    if "b" not in facts.fields:
        yield "no_body", "its record has no body"
    if facts.problem:
        yield "unreadable_body", facts.problem


def _of_places(facts: Facts, state: str, places: Sequence[Place]) -> Iterator[tuple[str, str]]:
    if not places:
        # Without a readable body nobody knows its queue; the second, wider look decides.
        yield "in_no_index", f"its state is {INDEXES[state]!r}, and it stands in no index"
    elif len(places) > 1:
        yield "in_several_indexes", f"it stands in {' and in '.join(map(str, places))}"
    elif places[0].letter != state:
        yield "wrong_index", f"its state is {INDEXES[state]!r}, and it stands in {places[0]}"
    elif facts.queue and places[0].queue != facts.queue:
        yield "wrong_queue", f"its body names the queue {facts.queue!r}, and it stands in {places[0]}"
