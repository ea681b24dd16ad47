"""What becomes of instants that have passed, compared with a list of all of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alsek.core.schedules import FirePolicy
from alsek.core.schedules.plan import plan
from alsek.core.schedules.policy import MOST_CAUGHT_UP, ON_TIME_MS
from alsek.core.triggers import CronTrigger, IntervalTrigger, Trigger

NOON = 1_800_000_000_000


def every(ms: int) -> Trigger:
    return IntervalTrigger(milliseconds=ms, start=NOON % ms)


@pytest.mark.parametrize(
    ("policy", "down_ms", "fires"),
    [
        (FirePolicy("once"), 0, 1),
        (FirePolicy("skip"), 0, 1),
        (FirePolicy("all"), 0, 1),
        (FirePolicy("once"), 10_000, 1),
        (FirePolicy("skip"), 10_000, 1),
        (FirePolicy("all"), 10_000, 11),
        (FirePolicy("all"), 3 * 3_600_000, MOST_CAUGHT_UP),
        (FirePolicy("all", grace_ms=30_000), 3 * 3_600_000, 31),
    ],
    ids=str,
)
def test_policies_say_how_many_of_the_missed_fires_are_made_up_for(
    policy: FirePolicy, down_ms: int, fires: int
) -> None:
    made = plan(every(1_000).fire_after, NOON - down_ms, NOON, policy)

    assert made.fires == [NOON - 1_000 * i for i in range(fires)][::-1]
    assert (made.handled_ms, made.next_ms) == (NOON, NOON + 1_000)


def test_skip_passes_over_what_is_not_on_time() -> None:
    hourly = every(3_600_000)
    due = hourly.fire_after(NOON)
    assert due is not None

    on_time = plan(hourly.fire_after, due, due + ON_TIME_MS, FirePolicy("skip"))
    late = plan(hourly.fire_after, due, due + ON_TIME_MS + 1, FirePolicy("skip"))

    assert (on_time.fires, on_time.missed) == ([due], 0)
    assert (late.fires, late.missed, late.next_ms) == ([], 1, due + 3_600_000)


def test_once_passes_over_what_is_older_than_its_grace() -> None:
    daily = every(86_400_000)
    due = daily.fire_after(NOON)
    assert due is not None

    made = plan(daily.fire_after, due, due + 3_600_001, FirePolicy("once"))

    assert (made.fires, made.missed) == ([], 1)


def test_a_trigger_that_ends_leaves_no_next_fire() -> None:
    trigger = IntervalTrigger(seconds=1, start=NOON - 5_000, end=NOON - 2_000)

    made = plan(trigger.fire_after, NOON - 5_000, NOON, FirePolicy("all"))

    assert (len(made.fires), made.next_ms, made.handled_ms) == (4, None, NOON - 2_000)


def test_years_of_absence_cost_no_more_than_the_latest_instants() -> None:
    asked = 0

    def count(after: int) -> int | None:
        nonlocal asked
        asked += 1
        return every(1_000).fire_after(after)

    made = plan(count, NOON - 5 * 31_536_000_000, NOON, FirePolicy("all"))

    assert len(made.fires) == MOST_CAUGHT_UP
    assert asked < 3_000


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    misfire=st.sampled_from(["skip", "once", "all"]),
    grace_ms=st.integers(0, 100_000),
    now=st.integers(0, 200_000),
)
def test_a_plan_is_what_a_list_of_all_instants_says(seed: int, misfire: str, grace_ms: int, now: int) -> None:
    chance = random.Random(seed)
    instants = sorted(chance.sample(range(200_000), chance.randint(2, 3_000)))
    instants += [now + 1_000_000]

    def fire_after(after: int) -> int | None:
        return next((instant for instant in instants if instant > after), None)

    due = instants[chance.randrange(min(5, len(instants) - 1))]
    if due > now:
        return
    policy = FirePolicy(misfire, grace_ms)  # type: ignore[arg-type]  # one of the three

    made = plan(fire_after, due, now, policy)

    passed = [instant for instant in instants if due <= instant <= now]
    lateness = ON_TIME_MS if misfire == "skip" else max(grace_ms, ON_TIME_MS)
    want = [instant for instant in passed[-(100 if misfire == "all" else 1) :] if now - instant <= lateness]
    assert made.fires == want
    assert made.next_ms == fire_after(now)
    assert passed[0] <= made.handled_ms <= now
    assert made.missed <= len(passed) - len(want)
    if len(passed) <= 1_000:
        assert (made.missed, made.handled_ms) == (len(passed) - len(want), passed[-1])


def test_a_cron_trigger_is_planned_like_any_other() -> None:
    trigger = CronTrigger("*/5 * * * *")
    due = trigger.fire_after(NOON - 3_600_000)
    assert due is not None

    made = plan(trigger.fire_after, due, NOON, FirePolicy("all"))

    assert len(made.fires) == 12
