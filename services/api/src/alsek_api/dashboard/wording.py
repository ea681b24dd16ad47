"""Numbers, spans and times as people read them; the filters of the templates."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

#: Spans in the largest two units that fit; below a second the number says enough.
_UNITS: Final = (("day", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000))

#: Stands where there is no value: an en dash.
NOTHING: Final = "\u2013"

#: A name up to so many characters stays on one line.
_SHORT_NAME: Final = 24

#: Values longer than this are cut on a page, characters: a page is for looking, the API gives the whole.
LONGEST_SHOWN: Final = 20_000


def number(value: float | None) -> str:
    """Write a count in full, with thin spaces between the thousands: 12 345."""
    if value is None:
        return NOTHING
    text = f"{int(value):,}" if value == int(value) else f"{value:,.1f}"
    return text.replace(",", "\u202f")


def compact(value: float | None) -> str:
    """Write a count in at most four characters and a letter: 12.3k."""
    if value is None:
        return NOTHING
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if abs(value) >= size * (10 if letter == "k" else 1):
            short = value / size
            return f"{short:.0f}{letter}" if short >= 100 else f"{short:.1f}{letter}"
    return number(round(value, 1))


def percent(share: float | None) -> str:
    """Write a share of one: 3.2 %."""
    if share is None:
        return NOTHING
    hundredths = share * 100
    if 0 < hundredths < 0.1:
        return "< 0.1\u202f%"
    return f"{hundredths:.0f}\u202f%" if hundredths >= 10 or hundredths == 0 else f"{hundredths:.1f}\u202f%"


def span(ms: float | None) -> str:
    """Write a span of time: 340 ms, 4.2 s, 3 min 12 s, 2 days 4 h."""
    if ms is None:
        return NOTHING
    ms = max(0.0, float(ms))
    if ms < 1:
        return "0 ms" if ms == 0 else "< 1 ms"
    if ms < 1_000:
        return f"{ms:.0f} ms"
    if ms < 10_000:
        return f"{ms / 1000:.1f} s"
    for index, (unit, size) in enumerate(_UNITS):
        if ms >= size:
            whole, rest = divmod(round(ms / 1000) * 1000, size)
            text = f"{whole:.0f} {_plural(unit, whole)}"
            if index + 1 < len(_UNITS):
                small, small_size = _UNITS[index + 1]
                if rest >= small_size:
                    text += f" {rest // small_size:.0f} {small}"
            return text
    return f"{ms:.0f} ms"


def instant(at_ms: int | None) -> datetime | None:
    """Give a time as a value, UTC; `None` where there is none, or none that a calendar knows."""
    try:
        return None if at_ms is None else datetime.fromtimestamp(at_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def clock(at_ms: int | None) -> Markup:
    """Write a point in time, which the page's script turns into the reader's own zone."""
    at = instant(at_ms)
    if at is None:
        return escape(NOTHING)
    return Markup('<time datetime="{iso}" data-clock>{text}</time>').format(
        iso=at.isoformat(timespec="milliseconds"), text=at.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def local(at_ms: int | None, zone: str, form: str = "%a %Y-%m-%d %H:%M:%S %Z") -> str:
    """Write a point in time as the clocks of a zone show it."""
    at = instant(at_ms)
    if at is None:
        return NOTHING
    try:
        return at.astimezone(ZoneInfo(zone)).strftime(form)
    except (KeyError, ValueError, OSError):
        return at.strftime("%a %Y-%m-%d %H:%M:%S UTC")


def ago(at_ms: int | None, now_ms: int) -> Markup:
    """Write how long ago, or in how long; the page's script keeps it true while the page is open."""
    at = instant(at_ms)
    if at is None or at_ms is None:
        return escape(NOTHING)
    return Markup('<time datetime="{iso}" title="{title}" data-ago>{text}</time>').format(
        iso=at.isoformat(timespec="milliseconds"),
        title=at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        text=relative(now_ms - at_ms),
    )


def relative(past_ms: float) -> str:
    """Write a distance from now: `12 s ago`, `in 5 min`, `now`."""
    if abs(past_ms) < 1_000:
        return "now"
    coarse = span(round(past_ms / 1000) * 1000 if past_ms > 0 else -round(past_ms / 1000) * 1000).replace(".0 s", " s")
    return f"{coarse} ago" if past_ms > 0 else f"in {coarse}"


def pretty(value: Any) -> str:
    """Write arguments and results as JSON for people, cut where a page would drown."""
    short = inline(value, 70)
    if not short.endswith("…"):
        return short
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return cut(text)


def plain_json(value: Any) -> str:
    """Write arguments as JSON that a form can be filled with; what is no JSON, as its text."""
    return json.dumps(value, indent=2 if len(inline(value, 1_000)) > 80 else None, ensure_ascii=False, default=str)


def inline(value: Any, most: int = 120) -> str:
    """Write a value on one line, cut."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def call(args: Any, kwargs: Any, most: int = 80) -> str:
    """Write arguments as a call has them: `1, 2, name="x"`."""
    if args is None and kwargs is None:
        return "unreadable"
    parts = [inline(one, most) for one in args or ()]
    parts += [f"{name}={inline(one, most)}" for name, one in (kwargs or {}).items()]
    text = ", ".join(parts)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cut(text: str, most: int = LONGEST_SHOWN) -> str:
    """Cut a long text, and say how much is missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n… {number(len(text) - most)} more characters: ask the API for the whole"


def breakable(name: str) -> Markup:
    """Let a long dotted or dashed name break at its seams."""
    text = str(escape(name))
    if len(name) <= _SHORT_NAME:
        return escape(name)
    for seam in (".", "_", "-", "/"):
        text = text.replace(seam, f"{seam}<wbr>")
    return Markup(text)  # noqa: S704  escaped above


def _plural(unit: str, count: float) -> str:
    return "days" if unit == "day" and count != 1 else unit


def leaf(dotted: str) -> str:
    """Give the last part of a dotted name."""
    return dotted.rpartition(".")[2] or dotted


def hour(at_s: int) -> Markup:
    """Write the time of day of a column of a chart, which the page's script turns into the reader's own zone."""
    at = datetime.fromtimestamp(at_s, UTC)
    return Markup('<time datetime="{iso}" data-hour>{text}</time>').format(
        iso=at.isoformat(timespec="seconds"), text=at.strftime("%H:%M")
    )


FILTERS: Final = {
    "hour": hour,
    "leaf": leaf,
    "number": number,
    "compact": compact,
    "percent": percent,
    "span": span,
    "clock": clock,
    "ago": ago,
    "local": local,
    "pretty": pretty,
    "inline": inline,
    "cut": cut,
    "breakable": breakable,
}
