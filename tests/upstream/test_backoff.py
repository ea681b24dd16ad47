"""§7: waiting times between attempts."""

from __future__ import annotations

import pytest

from alsek.core.backoff import Backoff, ConstantBackoff, ExponentialBackoff, LinearBackoff, settings2backoff


class Odd(LinearBackoff):
    """A grandchild of `Backoff`, as programs may have one."""

    def formula(self, incidents: int) -> int:
        return self.factor * (2 * incidents + 1)


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (ConstantBackoff(), [0, 60_000, 60_000, 60_000]),
        (LinearBackoff(), [0, 60_000, 60_000, 90_000]),
        (ExponentialBackoff(), [0, 60_000, 160_000, 640_000]),
        (ConstantBackoff(5, floor=None, ceiling=None, zero_override=False), [5, 5, 5, 5]),
        (LinearBackoff(10, floor=15, ceiling=25), [0, 15, 20, 25]),
        (Odd(1, floor=0), [0, 3, 5, 7]),
    ],
)
def test_waiting_times_are_upstreams(backoff: Backoff, waits: list[int]) -> None:
    assert [backoff.get(n) for n in range(4)] == waits


def test_a_floor_above_the_ceiling_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        ConstantBackoff(floor=2, ceiling=1)


def test_settings_name_the_class_and_its_parameters() -> None:
    assert LinearBackoff(5).settings == {
        "algorithm": "LinearBackoff",
        "parameters": {"factor": 5, "floor": 60_000, "ceiling": 3_600_000, "zero_override": True},
    }


@pytest.mark.parametrize("backoff", [ConstantBackoff(7), LinearBackoff(8), ExponentialBackoff(2, 9), Odd(3)])
def test_settings_rebuild_the_backoff(backoff: Backoff) -> None:
    rebuilt = settings2backoff(backoff.settings)

    assert type(rebuilt) is type(backoff)
    assert rebuilt.parameters == backoff.parameters


def test_an_unknown_algorithm_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        settings2backoff({"algorithm": "Nobody", "parameters": {}})


def test_every_subclass_of_ours_can_be_made_without_arguments() -> None:
    ours = [cls for cls in Backoff.__subclasses__() if cls.__module__.startswith("alsek")]

    assert {cls.__name__ for cls in ours} == {"ConstantBackoff", "LinearBackoff", "ExponentialBackoff"}
    assert all(cls().get(0) == 0 for cls in ours)
