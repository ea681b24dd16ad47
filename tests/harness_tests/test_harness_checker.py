"""The checker passes a good history and names every planted crime."""

from itertools import count
from typing import Any

import pytest

from harness.checker import check, longest_silence_s, total_queue
from harness.journal import Event, Kind

_clock = count(1)


def event(kind: Kind, uuid: str, op: str = "", token: str | None = None, pid: int = 1, t: int = 0) -> Event:
    return Event(kind, uuid, t or next(_clock), pid, token, op, {})


def submitted(uuid: str, answer: Kind = "OK") -> list[Event]:
    return [event("CALL", uuid, "submit"), event(answer, uuid, "submit")]


def ran(uuid: str, token: str = "1.1.a", pid: int = 1) -> list[Event]:
    return [event("START", uuid, token=token, pid=pid), event("END", uuid, token=token, pid=pid)]


def asked(op: str, uuid: str, token: str, answer: Kind = "OK", pid: int = 1) -> list[Event]:
    return [event("CALL", uuid, op, token, pid), event(answer, uuid, op, token, pid)]


def good(uuid: str) -> list[Event]:
    return submitted(uuid) + ran(uuid) + asked("ack", uuid, "1.1.a")


def test_a_good_history_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = check(good("a") + good("b"), {"a": "done", "b": "done"}, seed=5)

    verdict.assert_ok()
    assert capsys.readouterr().out == "submitted=2 ended=2 lost=0 duplicated=0 stale=0 seed=5\n"
    assert verdict.starts == {1: 2}


def test_a_planted_loss_is_found() -> None:
    verdict = check(good("a") + submitted("b"), {"a": "done"})

    assert verdict.lost == ("b",)
    with pytest.raises(AssertionError, match=r"G1 lost: 1 \(b\)"):
        verdict.assert_ok()


def test_an_unanswered_submit_may_appear_or_not() -> None:
    history = (
        submitted("seen", "UNKNOWN") + ran("seen") + submitted("unseen", "UNKNOWN") + [event("CALL", "cut", "submit")]
    )

    verdict = check(history, {"seen": "done"})

    verdict.assert_ok()
    assert verdict.recovered == ("seen",)
    assert verdict.submitted == 0


@pytest.mark.parametrize("history", [[], submitted("a", "ERR")])
def test_what_nobody_put_in_is_unexpected(history: list[Event]) -> None:
    verdict = check([*history, *ran("a")], {"a": "done"})

    with pytest.raises(AssertionError, match="G1 unexpected"):
        verdict.assert_ok()


def test_a_refused_submit_that_is_repeated_is_accepted() -> None:
    check(submitted("a", "ERR") + good("a"), {"a": "done"}).assert_ok()


def test_a_start_without_any_submit_is_unexpected_even_without_end_state() -> None:
    assert check(ran("ghost"), {}).unexpected == ("ghost",)


def test_a_planted_duplicate_is_counted() -> None:
    verdict = check([*good("a"), *ran("a", "1.2.b"), *good("b")], {"a": "done", "b": "done"})

    assert verdict.duplicated == 1
    assert verdict.starts == {1: 1, 2: 1}
    verdict.assert_ok(max_duplicates=1)
    verdict.assert_ok(max_duplicates=None)
    with pytest.raises(AssertionError, match="G4"):
        verdict.assert_ok()


def test_a_start_after_a_failure_is_a_retry() -> None:
    history = [*submitted("a"), event("START", "a", token="1.1.a"), event("FAIL", "a"), *ran("a", "1.2.b")]

    check(history, {"a": "done"}).assert_ok(max_duplicates=0)


@pytest.mark.parametrize("op", ["ack", "fail", "renew", "progress", "result"])
def test_a_planted_stale_write_is_found(op: str) -> None:
    history = submitted("a") + ran("a", "1.1.a", pid=1) + ran("a", "1.2.b", pid=2) + asked(op, "a", "1.1.a", pid=1)

    verdict = check(history, {"a": "done"})

    assert len(verdict.stale_writes_accepted) == 1
    with pytest.raises(AssertionError, match="G3"):
        verdict.assert_ok(max_duplicates=1)


def test_a_refused_stale_write_is_fine() -> None:
    history = submitted("a") + ran("a", "1.1.a") + ran("a", "1.2.b") + asked("ack", "a", "1.1.a", "ERR")

    assert check(history, {"a": "done"}).stale_writes_accepted == ()


def test_a_write_asked_for_before_the_later_claim_is_not_stale() -> None:
    history = [
        *submitted("a"),
        event("START", "a", token="1.1.a", pid=1),
        event("CALL", "a", "renew", "1.1.a", pid=1),
        event("START", "a", token="1.2.b", pid=2),
        event("OK", "a", "renew", "1.1.a", pid=1),
    ]

    assert check(history, {"a": "done"}, expect_end=False).stale_writes_accepted == ()


def test_epochs_order_claims_when_a_paused_worker_starts_late() -> None:
    late = [event("START", "a", token="1.2.b", pid=2), event("START", "a", token="1.1.a", pid=1)]

    verdict = check([*submitted("a"), *late, *asked("ack", "a", "1.2.b", pid=2)], {"a": "done"}, expect_end=False)

    assert verdict.stale_writes_accepted == ()


def test_tokens_of_another_form_are_ordered_by_time() -> None:
    history = submitted("a") + ran("a", "x") + ran("a", "y") + asked("ack", "a", "x")

    assert len(check(history, {"a": "done"}).stale_writes_accepted) == 1


@pytest.mark.parametrize(
    "crime",
    [
        asked("ack", "a", "1.1.a") + asked("ack", "a", "1.2.b"),
        asked("ack", "a", "1.1.a") + asked("fail", "a", "1.1.a"),
        [*asked("ack", "a", "1.1.a"), event("OK", "a", "revoke")],
    ],
)
def test_a_second_outcome_is_found(crime: list[Event]) -> None:
    verdict = check([*submitted("a"), *ran("a"), *crime], {"a": "done"})

    assert verdict.conflicting == ("a",)


def test_a_repeated_ack_is_one_outcome() -> None:
    check(good("a") + asked("ack", "a", "1.1.a"), {"a": "done"}).assert_ok()


def test_two_end_states_are_found() -> None:
    verdict = check(good("a"), {"a": ("done", "dead")})

    with pytest.raises(AssertionError, match="G2"):
        verdict.assert_ok()


def test_done_without_an_end_is_found() -> None:
    history: list[Event] = [*submitted("a"), event("START", "a", token="1.1.a")]

    assert check(history, {"a": "DONE"}).done_without_end == ("a",)
    check(history, {"a": "dead"}).assert_ok()
    check(history, {"a": "done"}, expect_end=False).assert_ok()


def test_poison_must_end_dead_within_its_deliveries() -> None:
    def poison(uuid: str, starts: int) -> list[Event]:
        return [*submitted(uuid), *(event("START", uuid, token=f"1.{n}.r") for n in range(starts))]

    options: dict[str, Any] = {"poison": {"p"}, "max_deliveries": 5}

    check([*poison("p", 5), *good("a")], {"p": "dead", "a": "done"}, **options).assert_ok()
    with pytest.raises(AssertionError, match="G7"):
        check(poison("p", 6), {"p": "dead"}, **options).assert_ok()
    with pytest.raises(AssertionError, match="G7"):
        check(good("p"), {"p": "done"}, **options).assert_ok()


def test_silence_is_measured_between_ends_of_the_others() -> None:
    second = 1_000_000_000
    history = [event("END", "a", t=second), event("END", "p", t=2 * second), event("END", "b", t=4 * second)]

    assert longest_silence_s(history, without={"p"}) == 3.0
    assert longest_silence_s([]) == 0


def test_total_queue_judges_as_jepsen_does() -> None:
    verdict = total_queue(attempted="abcdd", accepted="abd", received="bbcxx")

    assert verdict.lost == {"a": 1, "d": 1}
    assert verdict.unexpected == {"x": 2}
    assert verdict.duplicated == {"b": 1}
    assert verdict.recovered == {"c": 1}
