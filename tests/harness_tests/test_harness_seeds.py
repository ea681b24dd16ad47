"""Random runs can be repeated and sized."""

import pytest

from harness.eventually import eventually
from harness.seeds import chaos_seed, chaos_size


def test_a_given_seed_is_used_and_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ALSEK_CHAOS_SEED", "42")

    assert chaos_seed("/tmp/journal") == 42
    assert capsys.readouterr().out == "ALSEK_CHAOS_SEED=42 journal=/tmp/journal\n"


def test_without_a_given_seed_each_run_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALSEK_CHAOS_SEED", raising=False)

    assert len({chaos_seed() for _ in range(5)}) == 5


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({}, 10),
        ({"ALSEK_CHAOS_FULL": "1"}, 500),
        ({"ALSEK_CHAOS_SCALE": "10"}, 100),
        ({"ALSEK_CHAOS_SCALE": "99"}, 500),
    ],
)
def test_the_size_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], size: int
) -> None:
    for name in ("ALSEK_CHAOS_FULL", "ALSEK_CHAOS_SCALE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert chaos_size(10, 500) == size


def test_waiting_returns_the_value_and_names_what_did_not_come() -> None:
    answers = iter([0, "", 7])

    assert eventually(lambda: next(answers), 1) == 7
    with pytest.raises(AssertionError, match=r"not within [0-9.]+ s: the moon"):
        eventually(lambda: False, 0.02, what="the moon")
