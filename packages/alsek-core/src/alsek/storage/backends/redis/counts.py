"""Reads what the verbs counted, minute by minute: how a field of a minute is named is known here and in the prelude."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alsek.storage.keys import Keys

#: What can be asked for: the verbs keep their counts so long.
MOST_MINUTES: Final = 360

_MINUTE_MS: Final = 60_000
_IN_A_KEY: Final = 15


class Pace(NamedTuple):
    """What went in and out of a queue in the last minutes, per minute."""

    submitted: float
    finished: float


class Counts:
    """Names commands that read counts, and reads their answers.

    Args:
        keys: Names of the keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def of_minutes(self, queue: str, now_ms: int, minutes: int) -> list[tuple[str, ...]]:
        """Give the commands that read all counts of the last minutes of a queue."""
        last = now_ms // _MINUTE_MS
        quarters = range((last - minutes + 1) // _IN_A_KEY, last // _IN_A_KEY + 1)
        return [
            ("HGETALL", self._keys.counts(queue, partition, quarter))
            for partition in range(self._keys.partitions)
            for quarter in quarters
        ]

    def read_minutes(self, answers: Sequence[Any], now_ms: int, minutes: int) -> list[tuple[int, dict[str, int]]]:
        """Give the beginning of each minute (ms since the epoch), the oldest first, and its counts by letter."""
        last = now_ms // _MINUTE_MS
        first = last - minutes + 1
        quarters = range(first // _IN_A_KEY, last // _IN_A_KEY + 1)
        found: dict[int, dict[str, int]] = {minute: {} for minute in range(first, last + 1)}
        for i, answer in enumerate(answers):
            quarter = quarters[i % len(quarters)]
            for name, value in _pairs(answer):
                what = name.lstrip("0123456789")
                digits = name[: len(name) - len(what)]
                of_minute = found.get(quarter * _IN_A_KEY + int(digits)) if digits else None
                if of_minute is not None and value.isdigit():
                    of_minute[what] = of_minute.get(what, 0) + int(value)
        return [(minute * _MINUTE_MS, counts) for minute, counts in found.items()]

    def of_pace(self, queue: str, now_ms: int, minutes: int) -> list[tuple[str, ...]]:
        """Give the commands that read what `read_pace` needs: the minute that runs and those before it."""
        last = now_ms // _MINUTE_MS
        by_quarter: dict[int, list[str]] = {}
        for minute in range(last - minutes, last + 1):
            fields = by_quarter.setdefault(minute // _IN_A_KEY, [])
            fields += [f"{minute % _IN_A_KEY}{what}" for what in "skf"]
        return [
            ("HMGET", self._keys.counts(queue, partition, quarter), *fields)
            for partition in range(self._keys.partitions)
            for quarter, fields in by_quarter.items()
        ]

    def read_pace(self, answers: Iterator[Any], now_ms: int, minutes: int) -> Pace:
        """Give the pace of a queue.

        Args:
            answers: To the commands of `of_pace`; so many are taken.
            now_ms: The time that they were asked for.
            minutes: As they were asked for.
        """
        ins, outs = [0] * (minutes + 1), [0] * (minutes + 1)
        for _ in range(self._keys.partitions):
            i = 0
            while i <= minutes:
                quarter_ends = _IN_A_KEY - (now_ms // _MINUTE_MS - minutes + i) % _IN_A_KEY
                many = min(quarter_ends, minutes + 1 - i)
                values = next(answers) or [None] * (3 * many)
                for j in range(many):
                    submitted, succeeded, failed = (int(value or 0) for value in values[3 * j : 3 * j + 3])
                    ins[i + j] += submitted
                    outs[i + j] += succeeded + failed
                i += many
        # Quiet minutes before the first sign of life say nothing of the pace.
        began = next((i for i in range(minutes + 1) if ins[i] or outs[i]), minutes)
        span = minutes - began + (now_ms % _MINUTE_MS) / _MINUTE_MS
        span = max(span, 1 / 60)
        return Pace(sum(ins[began:]) / span, sum(outs[began:]) / span)


def _pairs(answer: Any) -> Iterable[tuple[str, str]]:
    flat = [part.decode(errors="replace") for part in answer] if isinstance(answer, list) else []
    return zip(flat[::2], flat[1::2], strict=True)
