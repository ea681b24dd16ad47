"""What is wrong with one schedule, given its hash and the indexes it stands in; and how both are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.core.schedules.book import open_definition
from alsek.exceptions import AlsekError, BackendDataError
from alsek.tools._reader import Command, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.tools._reader import Reader

_RENEW: Final = "`alsek schedules pause` and `resume` it"

ADVICE: Final[dict[str, str]] = {
    "schedule_without_record": "nothing, schedulers drop the id when they meet it; look for who deletes keys",
    "schedule_in_no_index": f"nobody will ever fire it, or list it: {_RENEW}",
    "schedule_in_wrong_index": f"its record and its indexes disagree: {_RENEW}",
    "schedule_unreadable": "delete it and make it again; look for who writes into this namespace",
    "schedule_with_ttl": "PERSIST its key at once: it would vanish; look for who sets expiries",
}

#: Indexes of schedules behind the tag, each with the command that asks for an id.
_INDEXES: Final = {
    "schedules": "ZSCORE", "schedules:due": "ZSCORE", "schedules:paused": "SISMEMBER", "schedules:broken": "SISMEMBER",
}  # fmt: skip

#: Indexes in which a schedule of each state stands.
_PLACES: Final = {
    "a": {"schedules", "schedules:due"},
    "p": {"schedules", "schedules:paused"},
    "x": {"schedules", "schedules:broken"},
    "e": {"schedules"},
}


class Standing(NamedTuple):
    """One schedule as it stands; `kind` is the Redis type of its key."""

    partition: int
    id: str
    kind: str
    left_ms: int
    fields: dict[bytes, bytes]
    indexes: frozenset[str]


def questions(reader: Reader, partition: int, schedule_id: str) -> list[Command]:
    """Give the commands that `read` wants the answers of."""
    key = reader.key(partition, f"s:{schedule_id}")
    looks: list[Command] = [("TYPE", key), ("PTTL", key), ("HMGET", key, "s", "d", "b", "n", "w")]
    return looks + [(command, reader.key(partition, index), schedule_id) for index, command in _INDEXES.items()]


def read(partition: int, schedule_id: str, answers: Sequence[Any]) -> Standing:
    """Read the answers of `questions`."""
    kind, left, values, *found = answers
    fields = dict(zip((b"s", b"d", b"b", b"n", b"w"), values, strict=True)) if isinstance(values, list) else {}
    known = {name: value for name, value in fields.items() if value is not None}
    there = frozenset(
        index
        for index, answer in zip(_INDEXES, found, strict=True)
        if not isinstance(answer, BackendDataError) and answer not in (None, 0)
    )
    return Standing(partition, schedule_id, text(kind), left if isinstance(left, int) else -2, known, there)


def judge_schedule(one: Standing, *, at_home: bool) -> Iterator[tuple[str, str]]:
    """Name what is wrong, as keys of `ADVICE` or of the audit's own, each with what was found."""
    if one.kind == "none":
        if one.indexes:
            yield "schedule_without_record", f"{', '.join(sorted(one.indexes))} names it, and there is no such schedule"
        return
    if one.kind != "hash":
        yield "wrong_type", f"s:{one.id} is a {one.kind}, not a hash"
        return
    if not at_home:
        yield "wrong_partition", f"its id belongs into another partition than {one.partition}"
    if one.left_ms != -1:
        yield "schedule_with_ttl", f"it vanishes in {one.left_ms:,} ms"
    try:
        open_definition(one.fields)
    except AlsekError as error:
        yield "schedule_unreadable", str(error)
    wanted = _PLACES.get(text(one.fields.get(b"s", b"")))
    if wanted is None:
        yield "schedule_unreadable", f"its state is {text(one.fields.get(b's', b''))!r}"
    elif wanted - one.indexes:
        yield "schedule_in_no_index", f"it is missing in {', '.join(sorted(wanted - one.indexes))}"
    elif one.indexes - wanted:
        yield "schedule_in_wrong_index", f"it stands in {', '.join(sorted(one.indexes - wanted))} as well"
