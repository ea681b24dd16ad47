"""Calls beside the verbs: results and statuses outside of them. They touch no socket, like `verbs`."""

from __future__ import annotations

from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from alsek.storage.backends.redis.link import Call
from alsek.storage.backends.redis.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TakeVerb = Literal["look", "take", "drop"]

#: Results in one call: keeps every script below a few milliseconds.
MOST_RESULTS_IN_A_CALL: Final = 200


class Outcome(NamedTuple):
    """What is known of one message's result.

    Attributes:
        text: The stored result; `None` when there is none.
        state: Letter of the message's state, as in its record; empty when there is no record (or there is a result).
        error: Packed details of its last error.
    """

    text: bytes | None
    state: str = ""
    error: bytes = b""

    @property
    def hopeless(self) -> bool:
        """Tell whether the message ended in a way that leaves no result."""
        return self.text is None and self.state in ("x", "F", "V", "E")


def put_result(tag: str, uuid: str, key: str, text: str | bytes, ttl_ms: int, kids_key: str, *, nx: bool) -> Call:
    """Store a result. Reply: 1, or 0 when there is one already.

    Args:
        tag: Of the partition.
        uuid: Of the message.
        key: Behind the tag.
        text: As the serializer wrote it.
        ttl_ms: How long it is kept.
        kids_key: Behind the tag; empty for none.
        nx: Only if there is none.
    """
    return Call(
        value_script("put_result"), (tag,), (uuid, key, text, ttl_ms, "1" if nx else "0", kids_key, "0"), again=6
    )


def note_descendant(kids_key: str, uuid: str, now_ms: int, ttl_ms: int) -> Call:
    """Put a descendant into the index of its progenitor, which lies in another partition. Reply: 1.

    Args:
        kids_key: Whole name of the index.
        uuid: Of the descendant.
        now_ms: Its place in the index.
        ttl_ms: How long its result is kept.
    """
    return Call(value_script("note_descendant"), (kids_key,), (uuid, now_ms, ttl_ms))


def take_results(
    tag: str, results: Iterable[tuple[str, str]], verb: TakeVerb, *, whole: bool = False, kids_key: str = ""
) -> Call:
    """Look at results, take them or drop them. Reply: for `read_results`.

    Args:
        tag: Of the partition.
        results: Uuid, and key behind the tag, of each.
        verb: What to do.
        whole: Delete all of them or none.
        kids_key: Index to take them out of, behind the tag.
    """
    flat = [part for pair in results for part in pair]
    return Call(value_script("take_results"), (tag,), (verb, "1" if whole else "0", kids_key, *flat))


def read_results(reply: Sequence[Sequence[bytes | None]]) -> list[Outcome]:
    """Read the reply of `take_results`."""
    return [Outcome(text, (state or b"").decode(), error or b"") for text, state, error in reply]


def replace_status(key: str, read: str | bytes, text: str | bytes, kept_ms: int | None, channel: str) -> Call:
    """Replace a status if it is still the one that was read. Reply: 1, or 0.

    Args:
        key: Of the status.
        read: The text that was read.
        text: The new one, as the serializer wrote it.
        kept_ms: Expiry; `None`: none.
        channel: Where the new one is published; empty: nowhere.
    """
    return Call(value_script("replace_status"), (key,), (read, text, "" if kept_ms is None else kept_ms, channel))


def spend(budget: str, a_second: int, at_once: int, units: int) -> Call:
    """Spend from a budget that refills all the time. Reply: 1 or 0, units left, ms to wait, ms until it is whole.

    Args:
        budget: Whole name of its key.
        a_second: Units that it refills by.
        at_once: Units that it holds.
        units: What to spend, at most `at_once`.
    """
    return Call(value_script("spend"), (budget,), (a_second, at_once, units))


def spend_of_day(budget: str, a_day: int, units: int) -> Call:
    """Spend from a budget that is new every day. Reply: 1 or 0, units left, ms until the next day.

    Args:
        budget: Whole name of its key.
        a_day: Units of a day.
        units: What to spend.
    """
    return Call(value_script("spend_of_day"), (budget,), (a_day, units))


def announce(key: str, text: str | bytes, ttl: int | None, channel: str | None) -> Call:
    """Store a text and publish it: for a cluster, whose transactions have no place for a channel. Reply: 1.

    Args:
        key: Of the text.
        text: What is stored and published.
        ttl: ms; `None`: for ever.
        channel: `None`: nowhere.
    """
    return Call(value_script("announce"), (key,), (text, "" if ttl is None else ttl, channel or ""))


@cache
def value_script(name: str) -> Script:
    """Load one of the scripts beside the verbs.

    Args:
        name: File name without `.lua`.
    """
    source: Any = files(__package__).joinpath("lua_values").joinpath(f"{name}.lua").read_bytes()
    return Script(name, source, sha1(source, usedforsecurity=False).hexdigest().encode())
