"""Waiting times, and that a backoff survives the journey as settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alsek.core.backoff import Backoff, ConstantBackoff, ExponentialBackoff, LinearBackoff, settings2backoff
from alsek.defaults import MAX_DURATION_MS

BUILT_IN = (ConstantBackoff, LinearBackoff, ExponentialBackoff)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (ConstantBackoff, [0, 60_000, 60_000, 60_000]),
        (LinearBackoff, [0, 60_000, 60_000, 90_000]),
        (ExponentialBackoff, [0, 60_000, 160_000, 640_000]),
    ],
)
def test_default_waiting_times_are_upstreams(algorithm: type[Backoff], expected: list[int]) -> None:
    backoff = algorithm()

    assert [backoff.get(incidents) for incidents in range(4)] == expected


@given(
    algorithm=st.sampled_from(BUILT_IN),
    bounds=st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)).map(sorted),
    incidents=st.integers(1, 5_000),
)
def test_waiting_times_stay_between_floor_and_ceiling(
    algorithm: type[Backoff], bounds: list[int], incidents: int
) -> None:
    floor, ceiling = bounds

    assert floor <= algorithm(floor=floor, ceiling=ceiling).get(incidents) <= ceiling


def test_zero_override_is_what_makes_the_first_attempt_immediate() -> None:
    assert ConstantBackoff(zero_override=True).get(0) == 0
    assert ConstantBackoff(zero_override=False).get(0) == 60_000


def test_without_bounds_the_formula_counts() -> None:
    assert LinearBackoff(factor=7, floor=None, ceiling=None).get(3) == 21


def test_a_formula_beyond_the_range_of_floats_ends_at_the_longest_duration() -> None:
    assert ExponentialBackoff(base=1.5, floor=None, ceiling=None).get(100_000) == MAX_DURATION_MS  # type: ignore[arg-type]


def test_a_negative_formula_means_no_waiting() -> None:
    assert ConstantBackoff(constant=-5, floor=None).get(1) == 0


def test_a_floor_above_the_ceiling_is_refused() -> None:
    with pytest.raises(ValueError, match="above its ceiling"):
        ConstantBackoff(floor=2, ceiling=1)


@pytest.mark.parametrize("algorithm", BUILT_IN)
def test_settings_rebuild_an_equal_backoff(algorithm: type[Backoff]) -> None:
    backoff = algorithm(floor=None, ceiling=123_456, zero_override=False)

    rebuilt = settings2backoff(backoff.settings)

    assert type(rebuilt) is algorithm
    assert rebuilt.settings == backoff.settings
    assert rebuilt.get(5) == backoff.get(5)


def test_settings_rebuild_a_grandchild_with_parameters_of_its_own() -> None:
    class Stepped(LinearBackoff):
        def __init__(self, steps: int = 3, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.steps = steps

        def formula(self, incidents: int) -> int:
            return self.steps * incidents

    rebuilt = settings2backoff(Stepped(steps=9, factor=1, floor=None).settings)

    assert isinstance(rebuilt, Stepped)
    assert rebuilt.parameters == {
        "steps": 9,
        "factor": 1,
        "floor": None,
        "ceiling": 3_600_000,
        "zero_override": True,
    }
    assert rebuilt.get(2) == 18


def test_an_unknown_algorithm_is_a_key_error_that_says_what_to_do() -> None:
    with pytest.raises(KeyError, match="import the module"):
        settings2backoff({"algorithm": "Nobody", "parameters": {}})


def test_repr_shows_the_parameters() -> None:
    assert repr(ConstantBackoff(constant=1)) == (
        "ConstantBackoff(constant=1, floor=60000, ceiling=3600000, zero_override=True)"
    )
