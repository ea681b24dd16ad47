"""Wall clocks and instants: what becomes of a local time that does not exist, or exists twice.

Wall times are seconds since 1970-01-01 00:00 *on the clock of the zone*, instants are seconds since the epoch. Where
the clocks are put forward there is a gap: its wall times stand for the first valid instant after it. Where they are
put back there is a fold: its wall times happen twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import tzinfo

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - on the clock of any zone

#: No fold is longer: a zone that crosses the date line repeats a day.
_LONGEST_FOLD_S: Final = 90_000


class Fold(NamedTuple):
    """Clocks put back.

    Attributes:
        transition: The instant at which it happens, seconds since the epoch.
        before: Offset from UTC until then, seconds.
        after: Offset from then on.
    """

    transition: int
    before: int
    after: int

    @property
    def first_wall(self) -> int:
        """The first wall time that happens twice."""
        return self.transition + self.after

    @property
    def end_wall(self) -> int:
        """The first wall time behind it that happens once."""
        return self.transition + self.before


def offset_at(instant: int, zone: tzinfo) -> int:
    """Give a zone's offset from UTC at an instant, seconds."""
    return _seconds(datetime.fromtimestamp(instant, zone).utcoffset())


def first_instant(wall: int, zone: tzinfo) -> int:
    """Give the instant of a wall time: of a fold the first one, of a gap the first one after it."""
    moment = (_EPOCH + timedelta(seconds=wall)).replace(tzinfo=zone)
    early, late = _seconds(moment.utcoffset()), _seconds(moment.replace(fold=1).utcoffset())
    if early >= late:
        return wall - early
    # In a gap `early` is the offset before it, which reads as an instant behind it, and the other way round (PEP 495).
    return _transition(wall - late, wall - early, zone)


def fold_behind(instant: int, zone: tzinfo) -> Fold | None:
    """Give the fold whose second half an instant is in, if it is in one."""
    local = datetime.fromtimestamp(instant, zone)
    if not local.fold:
        return None
    after, before = _seconds(local.utcoffset()), _seconds(local.replace(fold=0).utcoffset())
    if before <= after:
        return None
    return Fold(_transition(instant + after - before, instant, zone), before, after)


def fold_around(instant: int, zone: tzinfo) -> Fold | None:
    """Give a fold that is at most its own length away from an instant."""
    start, end = instant - _LONGEST_FOLD_S, instant + _LONGEST_FOLD_S
    before, after = offset_at(start, zone), offset_at(end, zone)
    if before <= after:
        return None
    return Fold(_transition(start, end, zone), before, after)


def _transition(low: int, high: int, zone: tzinfo) -> int:
    """Give the first instant in (low, high] that has the offset of `high`."""
    last = offset_at(high, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if offset_at(middle, zone) == last:
            high = middle
        else:
            low = middle
    return high


def _seconds(offset: timedelta | None) -> int:
    return 0 if offset is None else round(offset.total_seconds())
