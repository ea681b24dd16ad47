"""The sweep finds the hole in a careless client and none in a careful one."""

import time
from pathlib import Path

import pytest

from harness.crashpoint import CrashPoint, sweep
from harness.journal import read_journal
from harness.server import Server


def _visible(server: Server) -> dict[str, bool]:
    client = server.client()
    visible = {"message": bool(client.exists("message:m1")), "index": client.zscore("queue", "m1") is not None}
    client.close()
    return visible


def _check_whole(server: Server) -> None:
    parts = _visible(server)
    assert len(set(parts.values())) == 1, f"half a submit: {parts}"


def test_a_two_command_submit_leaves_a_task_invisible(server: Server, tmp_path: Path) -> None:
    """E15: the sweep finds what loses tasks upstream."""
    with pytest.raises(AssertionError) as caught:
        sweep(
            "harness_tests.scenarios:careless_submit",
            server=server,
            directory=tmp_path,
            check=lambda _: _check_whole(server),
            may_fail=("drop_reply_keep_client",),
        )

    told = str(caught.value)
    assert "k=2/2 variant=kill_before command='ZADD queue 1' exit=-9" in told
    assert "k=1/2 variant=kill_after_reply_dropped command='SET message:m1 body'" in told
    assert "k=1/2 variant=kill_before" not in told


def test_a_one_command_submit_survives_every_crash_point(server: Server, tmp_path: Path) -> None:
    points: list[CrashPoint] = []

    def check(point: CrashPoint) -> None:
        points.append(point)
        _check_whole(server)
        accepted = any(event.kind == "OK" for event in read_journal(point.journal))
        assert _visible(server)["message"] or not accepted
        assert accepted or point.variant.startswith("kill_")

    report = sweep(
        "harness_tests.scenarios:careful_submit",
        server=server,
        directory=tmp_path,
        check=check,
        variants=("kill_before", "kill_after_reply_dropped", "drop_reply_keep_client", "cut_before_keep_client"),
    )

    assert len(report.commands) == 1
    assert report.runs == 5
    assert report.unreached == ()
    assert [(point.k, point.exit_code) for point in points] == [(0, 0), (1, -9), (1, -9), (1, 0), (1, 0)]


def test_a_killed_client_ran_exactly_the_commands_before(server: Server, tmp_path: Path) -> None:
    seen: dict[tuple[int, str], dict[str, bool]] = {}

    sweep(
        "harness_tests.scenarios:careless_submit",
        server=server,
        directory=tmp_path,
        check=lambda point: seen.__setitem__((point.k, point.variant), _visible(server)),
        variants=("kill_before", "kill_after_reply_dropped"),
    )

    assert seen == {
        (0, "none"): {"message": True, "index": True},
        (1, "kill_before"): {"message": False, "index": False},
        (1, "kill_after_reply_dropped"): {"message": True, "index": False},
        (2, "kill_before"): {"message": True, "index": False},
        (2, "kill_after_reply_dropped"): {"message": True, "index": True},
    }


def test_each_run_starts_prepared_and_recovers_before_the_check(server: Server, tmp_path: Path) -> None:
    steps: list[str] = []

    def prepare() -> None:
        client = server.client()
        assert client.dbsize() == 0
        client.set("prepared", 1)
        steps.append("prepare")

    sweep(
        "harness_tests.scenarios:careless_submit",
        server=server,
        directory=tmp_path,
        arguments={"uuid": "other"},
        prepare=prepare,
        recover=lambda _: steps.append("recover"),
        check=lambda _: steps.append("check"),
        variants=("kill_before",),
    )

    assert steps == ["prepare", "recover", "check"] * 3


def test_a_sample_is_chosen_by_its_seed_and_is_quick(server: Server, tmp_path: Path) -> None:
    def points(seed: int, name: str) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        sweep(
            "harness_tests.scenarios:careless_submit",
            server=server,
            directory=tmp_path / name,
            check=lambda point: found.append((point.k, point.variant)),
            may_fail=("drop_reply_keep_client",),
            sample=3,
            seed=seed,
        )
        return found

    start = time.monotonic()
    first = points(1, "first")
    took = time.monotonic() - start

    assert len(first) == 4
    assert points(1, "second") == first
    assert took < 5


def test_a_client_that_hangs_or_raises_is_reported(server: Server, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        sweep(
            "harness_tests.scenarios:hang",
            server=server,
            directory=tmp_path,
            check=lambda _: None,
            variants=("kill_before", "cut_before_keep_client"),
            timeout=0.5,
        )

    told = str(caught.value)
    assert "3 of 5 runs" in told
    assert "k=0/0 variant=none command='': the client hung for " in told
    assert "k=1/2 variant=cut_before_keep_client command='SET a b' exit=1: the client failed" in told
