"""Triggers: what they take, what they refuse, and which instants are theirs."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.combining import AndTrigger
from apscheduler.triggers.cron import CronTrigger as TheirCron
from apscheduler.triggers.date import DateTrigger as TheirDate
from apscheduler.triggers.interval import IntervalTrigger as TheirInterval
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from alsek.core.triggers import (
    CronTrigger,
    DateTrigger,
    ForeignTrigger,
    IntervalTrigger,
    Trigger,
    adopt,
    from_data,
    to_data,
)
from alsek.core.triggers.crontab import parse
from alsek.core.triggers.moments import from_ms, to_ms
from alsek.exceptions import SchedulingError, ValidationError

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def fires(trigger: Trigger, after: datetime, count: int) -> list[str]:
    """The next instants, as people read them."""
    found: list[str] = []
    instant: int | None = to_ms(after)
    while len(found) < count:
        assert instant is not None
        instant = trigger.fire_after(instant)
        if instant is None:
            break
        found.append(from_ms(instant, trigger.zone).strftime("%Y-%m-%d %H:%M:%S"))
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("*/20 9-10 * * *", ["2026-01-01 09:00:00", "2026-01-01 09:20:00", "2026-01-01 09:40:00"]),
        ("0 12 * * mon-fri", ["2026-01-01 12:00:00", "2026-01-02 12:00:00", "2026-01-05 12:00:00"]),
        ("30 6 1 jan,jul *", ["2026-01-01 06:30:00", "2026-07-01 06:30:00", "2027-01-01 06:30:00"]),
        ("0 0 L * *", ["2026-01-31 00:00:00", "2026-02-28 00:00:00", "2026-03-31 00:00:00"]),
        ("0 0 * * 5#2", ["2026-01-09 00:00:00", "2026-02-13 00:00:00", "2026-03-13 00:00:00"]),
        ("0 0 * * L5", ["2026-01-30 00:00:00", "2026-02-27 00:00:00", "2026-03-27 00:00:00"]),
        ("0 0 15w * *", ["2026-01-15 00:00:00", "2026-02-16 00:00:00", "2026-03-16 00:00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00:00", "2032-02-29 00:00:00", "2036-02-29 00:00:00"]),
        ("0 0 13 * 5", ["2026-01-02 00:00:00", "2026-01-09 00:00:00", "2026-01-13 00:00:00"]),
        ("@monthly", ["2026-02-01 00:00:00", "2026-03-01 00:00:00", "2026-04-01 00:00:00"]),
        ("* * * * * */30", ["2026-01-01 00:00:30", "2026-01-01 00:01:00", "2026-01-01 00:01:30"]),
        ("59 23 31 12 *", ["2026-12-31 23:59:00", "2027-12-31 23:59:00", "2028-12-31 23:59:00"]),
    ],
)
def test_a_cron_trigger_fires_where_its_expression_matches(expression: str, expected: list[str]) -> None:
    assert fires(CronTrigger(expression), NEW_YEAR, 3) == expected


def test_day_and_weekday_may_have_to_match_both() -> None:
    assert fires(CronTrigger("0 0 13 * 5", day_or=False), NEW_YEAR, 2) == ["2026-02-13 00:00:00", "2026-03-13 00:00:00"]


def test_a_local_time_that_is_skipped_fires_at_the_first_instant_after_the_gap() -> None:
    trigger = CronTrigger("30 2 * * *", "Europe/Vienna")

    found = fires(trigger, datetime(2026, 3, 28, 12, tzinfo=UTC), 2)

    assert found == ["2026-03-29 03:00:00", "2026-03-30 02:30:00"]


def test_a_local_time_that_happens_twice_fires_once_or_on_request_twice() -> None:
    eve = datetime(2026, 10, 24, 12, tzinfo=UTC)

    once = fires(CronTrigger("30 2 * * *", "Europe/Vienna"), eve, 2)
    twice = fires(CronTrigger("30 2 * * *", "Europe/Vienna", both=True), eve, 3)

    assert once == ["2026-10-25 02:30:00", "2026-10-26 02:30:00"]
    assert twice == ["2026-10-25 02:30:00", "2026-10-25 02:30:00", "2026-10-26 02:30:00"]


def test_a_day_that_a_zone_skips_fires_when_the_next_one_begins() -> None:
    assert fires(CronTrigger("0 12 30 12 *", "Pacific/Apia"), datetime(2011, 12, 1, tzinfo=UTC), 2) == [
        "2011-12-31 00:00:00",
        "2012-12-30 12:00:00",
    ]


def test_a_cron_trigger_keeps_to_its_start_and_end() -> None:
    trigger = CronTrigger("0 * * * *", start="2026-01-01T10:30", end=datetime(2026, 1, 1, 12, tzinfo=UTC))

    assert fires(trigger, NEW_YEAR, 5) == ["2026-01-01 11:00:00", "2026-01-01 12:00:00"]


def test_an_interval_is_elapsed_time_whatever_the_clocks_do() -> None:
    trigger = IntervalTrigger(hours=12, start="2026-03-28T12:00", timezone="Europe/Vienna")

    found = [trigger.fire_after(to_ms(NEW_YEAR))]
    for _ in range(3):
        assert found[-1] is not None
        found.append(trigger.fire_after(found[-1]))

    assert [b - a for a, b in pairwise(found) if a is not None and b is not None] == [43_200_000] * 3


def test_an_interval_without_a_start_counts_from_the_beginning_of_its_schedule() -> None:
    trigger = IntervalTrigger(seconds=10)

    assert trigger.first_fire(1_000_000) == 1_010_000
    assert trigger.fire_after(1_010_000, anchor_ms=1_000_000) == 1_020_000
    assert trigger.fire_after(1_015_500, anchor_ms=1_000_000) == 1_020_000


def test_jitter_is_the_same_for_all_who_ask_and_other_for_each_instant() -> None:
    trigger = IntervalTrigger(seconds=10, start="2026-01-01T00:00", jitter=5)
    start = to_ms(NEW_YEAR)

    def late(salt: str) -> list[int]:
        instants: list[int] = [start - 1]
        for _ in range(200):
            following = trigger.fire_after(instants[-1], salt=salt)
            assert following is not None
            instants.append(following)
        return [instant - start - 10_000 * i for i, instant in enumerate(instants[1:])]

    one = late("a")

    assert one == late("a")
    assert one != late("b")
    assert all(0 <= delay <= 5_000 for delay in one)
    assert len(set(one)) > 150


def test_a_date_fires_once() -> None:
    trigger = DateTrigger("2026-12-24T18:00", "Europe/Vienna")

    assert fires(trigger, NEW_YEAR, 2) == ["2026-12-24 18:00:00"]
    assert DateTrigger(date(2026, 1, 1)).run_ms == to_ms(NEW_YEAR)
    assert DateTrigger("2026-03-29T02:30", "Europe/Vienna") == DateTrigger("2026-03-29T03:00", "Europe/Vienna")
    assert abs(DateTrigger().run_ms - time.time() * 1000) < 60_000


def test_triggers_answer_in_the_way_of_apscheduler() -> None:
    minute = CronTrigger("*/5 * * * *", "Europe/Vienna")
    when = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)

    assert minute.get_next_fire_time(None, when) == when
    assert minute.get_next_fire_time(when, when) == when + timedelta(minutes=5)
    assert DateTrigger(when).get_next_fire_time(None, when) == when
    assert DateTrigger(when).get_next_fire_time(when, when) is None


BAD: list[tuple[Any, str]] = [
    (lambda: CronTrigger("0 0 30 2 *"), "never matches"),
    (lambda: CronTrigger("61 * * * *"), "out of range"),
    (lambda: CronTrigger("* * * *"), "has 4 fields"),
    (lambda: CronTrigger("* * * * * * *"), "has 7 fields"),
    (lambda: CronTrigger("H * * * *"), "by chance"),
    (lambda: CronTrigger("*/0 * * * *"), "step '0'"),
    (lambda: CronTrigger("0 0 1 * 5#2"), "not both"),
    (lambda: CronTrigger("@reboot"), "short forms"),
    (lambda: CronTrigger("x y z a b"), "the fields are"),
    (lambda: CronTrigger("1," * 600 + " * * * *"), "1,000 characters at most, not 1,208"),
    (lambda: CronTrigger("* * * * *", "Europe/Nowhere"), "no time zone 'Europe/Nowhere'"),
    (lambda: CronTrigger("* * * * *", "../etc/passwd"), "no time zone"),
    (lambda: CronTrigger("* * * * *", "localtime"), "another one on each host"),
    (lambda: CronTrigger("* * * * *", timedelta(hours=1)), "IANA name"),  # type: ignore[arg-type]  # that is the point
    (lambda: CronTrigger("* * * * *", start="2026-02-01", end="2026-01-01"), "the end lies before the start"),
    (lambda: CronTrigger("* * * * *", start="next week"), "the start has to be a moment"),
    (lambda: IntervalTrigger(), "1 ms at least"),
    (lambda: IntervalTrigger(seconds=-1), "1 ms at least"),
    (lambda: IntervalTrigger(milliseconds=0.4), "1 ms at least"),
    (lambda: IntervalTrigger(seconds="5"), "seconds has to be a number"),  # type: ignore[arg-type]  # that is the point
    (lambda: IntervalTrigger(seconds=float("nan")), "seconds has to be a number"),
    (lambda: IntervalTrigger(seconds=5, jitter=5), "less than the 5 s between"),
    (lambda: IntervalTrigger(seconds=1, start="2026-02-01", end="2026-01-01"), "the end lies before the start"),
    (lambda: DateTrigger("soon"), "the run_date has to be a moment"),
    (lambda: DateTrigger("1066-10-14"), "between 1970 and 2200"),
    (lambda: DateTrigger(True), "has to be a datetime"),
    (lambda: adopt(object()), "get_next_fire_time"),
    (lambda: adopt(CronTrigger), "get_next_fire_time"),
    (lambda: from_data({"kind": "moon"}), "cron, interval or date"),
    (lambda: from_data({"kind": "cron"}), "needs an expression"),
    (lambda: from_data({"kind": "cron", "expression": "* * * * *", "colour": 1}), "not colour"),
    (lambda: from_data({"kind": "date"}), "needs a run_date"),
    (lambda: from_data({"kind": "interval", "every_ms": "x"}), "milliseconds has to be a number"),
]


@pytest.mark.parametrize(("make", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_bad_input_is_refused_with_the_reason(make: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        make()

    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "trigger",
    [
        CronTrigger("*/5 9-17 * * mon-fri", "Europe/Vienna", start="2026-01-01", both=True),
        CronTrigger("0 0 13 * 5", day_or=False),
        IntervalTrigger(weeks=1, milliseconds=5, jitter=2.5, end="2030-01-01"),
        DateTrigger("2026-12-24T18:00", "Europe/Vienna"),
    ],
    ids=str,
)
def test_plain_data_makes_the_same_trigger_again(trigger: Trigger) -> None:
    assert from_data(to_data(trigger)) == trigger


class Foreign:
    """Somebody's own trigger: every full minute."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        start = previous or now - timedelta(microseconds=1)
        return start.replace(second=0, microsecond=0) + timedelta(minutes=1)


class Stuck:
    """Somebody's trigger that does not go forward."""

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        return previous or now


def test_any_object_with_the_method_is_a_trigger() -> None:
    trigger = adopt(Foreign())

    assert isinstance(trigger, ForeignTrigger)
    assert trigger.first_fire(to_ms(NEW_YEAR) + 1) == to_ms(NEW_YEAR) + 60_000
    assert trigger.fire_after(to_ms(NEW_YEAR) + 60_000) == to_ms(NEW_YEAR) + 120_000
    assert adopt(Foreign()) == trigger  # its description has no address in it


def test_a_foreign_trigger_fires_only_where_its_object_is() -> None:
    elsewhere = from_data(adopt(Foreign()).data())

    with pytest.raises(SchedulingError, match="known to its program only"):
        elsewhere.fire_after(0)


def test_a_trigger_that_does_not_go_forward_is_told() -> None:
    with pytest.raises(SchedulingError, match="does not go forward"):
        adopt(Stuck()).fire_after(1_000)


@pytest.mark.parametrize(
    "theirs",
    [
        TheirCron(minute="*/5", hour="9-17", day_of_week="mon-fri", timezone="UTC"),
        TheirCron(day_of_week="0,6", hour=3, timezone="UTC"),
        TheirCron(day_of_week="*/2", timezone="UTC"),
        TheirCron(day="last", hour=3, second=30, timezone="UTC"),
        TheirCron(day="2nd fri", hour=1, timezone="UTC"),
        TheirCron(day="last sun", timezone="UTC"),
        TheirCron(day=13, day_of_week="fri", timezone="UTC"),
        TheirCron(month="jan,jul", day="1-7", hour="*/6", timezone="UTC"),
        TheirCron(second="*/10", timezone="UTC"),
        TheirCron(hour=4, start_date="2026-02-01", end_date="2026-05-01", timezone="UTC"),
        TheirInterval(minutes=7, start_date="2026-01-01 00:03:00", timezone="UTC"),
        TheirDate("2026-05-01 12:00:00", timezone="UTC"),
    ],
    ids=str,
)
def test_triggers_of_apscheduler_fire_as_they_did(theirs: Any) -> None:
    ours = adopt(theirs)
    now = NEW_YEAR
    previous = None

    assert not isinstance(ours, ForeignTrigger)
    for _ in range(40):
        expected = theirs.get_next_fire_time(previous, now)
        found = ours.first_fire(to_ms(now) - 1) if previous is None else ours.fire_after(to_ms(previous))
        assert (None if found is None else from_ms(found)) == expected
        if expected is None:
            break
        previous = now = expected


def test_an_interval_of_apscheduler_means_the_same_after_a_restart() -> None:
    assert adopt(TheirInterval(seconds=3)) == adopt(TheirInterval(seconds=3)) == IntervalTrigger(seconds=3)


@pytest.mark.parametrize(
    "theirs",
    [TheirCron(week="*/2", timezone="UTC"), AndTrigger([TheirCron(hour=3, timezone="UTC")]), TheirCron(year="2030")],
    ids=str,
)
def test_what_only_apscheduler_can_say_stays_its_own(theirs: Any) -> None:
    trigger = adopt(theirs)

    assert isinstance(trigger, ForeignTrigger)
    assert trigger.first_fire(to_ms(NEW_YEAR)) == to_ms(theirs.get_next_fire_time(None, NEW_YEAR))


# -- odd expressions (T4) --------------------------------------------------------------------------------------------


def cron_field(low: int, high: int, names: tuple[str, ...] = ()) -> st.SearchStrategy[str]:
    """A field in all its forms."""
    number = st.integers(low, high)
    value = number.map(str) | st.sampled_from(names) if names else number.map(str)
    step = st.integers(1, high - low + 3)
    ordered = (
        st.tuples(number, number)
        .map(lambda pair: f"{min(pair)}-{max(pair)}")
        .filter(lambda text: len(set(text.split("-"))) == 2)
    )
    one = (
        value
        | ordered
        | st.tuples(ordered, step).map(lambda parts: f"{parts[0]}/{parts[1]}")
        | step.map(lambda n: f"*/{n}")
    )
    return st.just("*") | one | st.lists(value, min_size=2, max_size=4).map(",".join)


EXPRESSIONS = st.tuples(
    cron_field(0, 59),
    cron_field(0, 23),
    cron_field(1, 31) | st.just("L"),
    cron_field(1, 12, ("jan", "feb", "dec")),
    cron_field(0, 6, ("sun", "wed", "sat")) | st.sampled_from(["5#1", "0#5", "L2"]),
    st.just("") | cron_field(0, 59),
).map(lambda fields: " ".join(fields).strip())


@settings(max_examples=200, deadline=None)
@given(expression=EXPRESSIONS, start=st.integers(946_684_800, 2_145_916_800))
def test_every_match_comes_and_nothing_else(expression: str, start: int) -> None:
    check_expression(expression, start)


@pytest.mark.chaos
@pytest.mark.slow
@settings(max_examples=20_000, deadline=None)
@given(expression=EXPRESSIONS, start=st.integers(946_684_800, 2_145_916_800))
def test_every_match_comes_and_nothing_else_at_length(expression: str, start: int) -> None:
    check_expression(expression, start)


def check_expression(expression: str, start: int) -> None:
    """Compare with croniter, which searches in another way, on a clock without a zone."""
    refusal = ""
    try:
        table = parse(expression)
    except ValidationError as error:
        refusal = str(error)
    if refusal:
        assert "never matches" in refusal or "not both" in refusal, expression
        return
    theirs = croniter(expression, datetime.fromtimestamp(start, UTC).replace(tzinfo=None))
    wall: int | None = start
    for _ in range(3):
        assert wall is not None
        before, wall = wall, table.match_after(wall)
        expected = theirs.get_next(datetime)
        assert wall is not None
        assert wall > before
        assert datetime.fromtimestamp(wall, UTC).replace(tzinfo=None) == expected, expression


def test_an_impossible_date_ends_the_search() -> None:
    for expression in ("0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 *"):
        with pytest.raises(ValidationError, match="never matches"):
            CronTrigger(expression)


def test_the_next_fire_does_not_depend_on_the_zone_of_the_question() -> None:
    trigger = CronTrigger("0 9 * * *", "Asia/Kathmandu")
    asked = datetime(2026, 1, 1, 3, tzinfo=ZoneInfo("America/St_Johns"))

    assert trigger.get_next_fire_time(None, asked) == trigger.get_next_fire_time(None, asked.astimezone(UTC))
