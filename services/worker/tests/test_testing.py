"""What `alsek_worker.testing` gives to the tests of users, tried in real pytest runs over a program of theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PROGRAMS = Path(__file__).with_name("programs")

#: Plugins of this repository's own tests, which take seconds to import and have no part in this.
ALONE = [
    argument
    for name in (
        "schemathesis",
        "hypothesispytest",
        "anyio",
        "timeout",
        "valkey",
        "xdist.looponfail",
        "xdist",
        "cacheprovider",
    )
    for argument in ("-p", f"no:{name}")
]

#: What every test module of the user's has on top.
TOP = """
import pytest, under_test
from alsek.core.status.types import TaskStatus
from alsek.exceptions import TaskFailedError, UnknownTaskError
from under_test import *

def outcomes(ran):
    return [(one.task_name, one.outcome) for one in ran]

@pytest.fixture(autouse=True)
def silence():
    told.clear()
"""


@pytest.fixture
def user(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of a user's tests, configured as the guide says."""
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS))
    monkeypatch.delenv("ALSEK_REDIS_URL", raising=False)
    pytester.makeini("[pytest]\nalsek_tasks = under_test\nfilterwarnings = error\n")
    return pytester


def run(user: pytest.Pytester, tests: str) -> pytest.RunResult:
    """Run a module of the user's tests in a process of its own."""
    user.makepyfile(test_user=TOP + tests)
    return user.runpytest_subprocess(*ALONE)


def test_what_is_queued_runs_in_the_tests_own_thread_by_every_mechanism(user: pytest.Pytester) -> None:
    result = run(
        user,
        """
import threading

def test_mechanisms(alsek_runner):
    message = add.generate(args=(1, 2), callback=double.defer().generate())
    page = fetch.delay(7)
    assert backend.namespace == "production"

    ran = alsek_runner.run_until_empty()

    assert sorted(one.task_name for one in ran) == ["add", "add", "double", "fetch"]
    assert {one.outcome for one in ran} == {"succeeded"}
    assert results.get(message, descendants=True) == [3, 6]
    assert results.get(page) == 7
    assert statuses.get(page).status is TaskStatus.SUCCEEDED
    assert ("pre_op", (1, 2)) in told and ("on_success", 6) in told and ("on_success", 7) in told
    assert alsek_runner.run_until_empty() == []

def test_nothing_is_left_of_other_tests(alsek_runner):
    assert broker.redis.queue_names() == set()
    assert alsek_runner.run_until_empty() == []

def test_without_the_fixture_backends_lead_where_they_led(monkeypatch):
    from alsek.exceptions import BackendUnavailableError
    with pytest.raises(BackendUnavailableError):
        backend.exists("anything")

def test_several_brokers_and_the_thread(alsek_runner, monkeypatch):
    seen = []
    monkeypatch.setattr(add, "function", lambda a, b: seen.append(threading.current_thread()))
    elsewhere.delay(4)
    assert outcomes(alsek_runner.run_until_empty()) == [("elsewhere", "succeeded"), ("add", "succeeded")]
    assert seen == [threading.main_thread()]

def test_coroutines(alsek_runner):
    import asyncio

    async def main():
        message = await add.adelay(1, 1)
        with pytest.raises(RuntimeError, match="arun_until_empty"):
            alsek_runner.run_until_empty()
        await alsek_runner.arun_until_empty()
        return await async_results.get(message)

    assert asyncio.run(main()) == 2
from alsek import task

def test_own(alsek_broker, alsek_server):
    @task(alsek_broker, queue="own")
    def own(n: int) -> int:
        return n

    own.delay(1)
    assert alsek_broker.backend.namespace.startswith("test-")

    with alsek_server.runner(own) as runner:
        own.delay(2)
        assert [one.message.args for one in runner.run_until_empty()] == [(2,)]

def test_the_runner_stays_on_the_test_server(alsek_server):
    from alsek.exceptions import ValidationError
    from alsek_worker.testing import Runner
    with pytest.raises(ValidationError, match="does not lead to the test server"):
        Runner(alsek_server.url, add)
""",
    )

    result.assert_outcomes(passed=7)


def test_time_travels_for_all_that_waits(user: pytest.Pytester) -> None:
    result = run(
        user,
        """
def test_backoffs(alsek_runner):
    message = charge.delay("good")
    assert outcomes(alsek_runner.run_due()) == [("charge", "retried")]
    assert alsek_runner.run_due() == []
    alsek_runner.travel(3_000)
    assert alsek_runner.run_due() == []
    alsek_runner.travel(600)
    assert outcomes(alsek_runner.run_due()) == [("charge", "retried")]
    assert outcomes(alsek_runner.run_until_empty()) == [("charge", "succeeded")]
    assert results.get(message) == "charged at attempt 3"
    assert [what for what in told if what[0] == "on_retry"] == [("on_retry", 0), ("on_retry", 1)]

def test_delays_in_their_order(alsek_runner):
    add.options(delay=86_400_000).delay(3, 0)
    add.options(delay=60_000).delay(2, 0)
    add.delay(1, 0)
    assert [one.message.args[0] for one in alsek_runner.run_until_empty()] == [1, 2, 3]

def test_priorities_stay_what_they_are(alsek_runner):
    add.options(priority=5).delay(3, 0)
    add.options(priority=1, delay=1_000).delay(2, 0)
    add.options(priority=5).delay(4, 0)
    alsek_runner.travel(86_400 * 5)
    assert [one.message.args[0] for one in alsek_runner.run_due()] == [2, 3, 4]

def test_snooze_and_unique(alsek_runner):
    first = remind.delay("Ann")
    assert outcomes(alsek_runner.run_due()) == [("remind", "snoozed")]
    alsek_runner.travel(61)
    assert remind.delay("Ann").duplicate_of == first.uuid  # it waits still
    alsek_runner.travel(86_400)
    assert outcomes(alsek_runner.run_due()) == [("remind", "succeeded")]
    assert remind.delay("Ann").duplicate_of is None  # its window is over

def test_unique_holds_in_its_window(alsek_runner):
    first = add.options(unique_for=60_000).delay(1, 1)
    alsek_runner.run_due()
    alsek_runner.travel(30)
    assert add.options(unique_for=60_000).delay(1, 1).duplicate_of == first.uuid
    alsek_runner.travel(30)
    assert add.options(unique_for=60_000).delay(1, 1).duplicate_of is None

def test_expiry(alsek_runner):
    message = add.options(expires=60_000).delay(1, 1)
    alsek_runner.travel(60)
    assert alsek_runner.run_until_empty() == []
    assert statuses.get(message).status is TaskStatus.EXPIRED
    assert broker.in_dlq(message)

def test_results_age(alsek_runner):
    message = add.options(result_ttl=60_000).delay(1, 1)
    alsek_runner.run_due()
    alsek_runner.travel(30)
    assert results.exists(message)
    alsek_runner.travel(30)
    assert not results.exists(message)

def test_a_dead_workers_message_comes_back(alsek_runner):
    from alsek.core.consumer import Consumer
    message = add.delay(1, 1)
    consumer = Consumer(broker, ["sums"])
    assert consumer.exchange((), 1).messages[0].uuid == message.uuid
    consumer.close()
    assert alsek_runner.run_due() == []
    alsek_runner.travel(31)
    assert outcomes(alsek_runner.run_due()) == [("add", "succeeded")]

@pytest.mark.parametrize("seconds", [-1, "1", True, float("inf")])
def test_time_goes_forward(alsek_runner, seconds):
    from alsek.exceptions import ValidationError
    with pytest.raises(ValidationError, match="forward"):
        alsek_runner.travel(seconds)
""",
    )

    result.assert_outcomes(passed=12)


def test_failures_end_where_they_would(user: pytest.Pytester) -> None:
    result = run(
        user,
        """
def test_dead_letters(alsek_runner):
    message = charge.delay("expired")
    assert [outcome for _, outcome in outcomes(alsek_runner.run_until_empty())] == ["retried", "retried", "failed"]
    assert broker.in_dlq(message)
    assert statuses.get(message).status is TaskStatus.FAILED
    assert told[-1] == ("on_failure", "ValueError")

def test_loud(alsek_runner):
    charge.delay("expired")
    with pytest.raises(TaskFailedError, match="ValueError: this card has expired"):
        alsek_runner.run_until_empty(raise_failures=True)

@pytest.mark.parametrize("late", [slow, slow_page])
def test_timeouts(alsek_runner, late):
    message = late.delay()
    [ran] = alsek_runner.run_until_empty()
    assert (ran.outcome, ran.message.exception_details.name) == ("failed", "TimeoutError")
    assert told[-1] == ("on_failure", "TimeoutError")

def test_revoked(alsek_runner):
    waiting = add.delay(1, 1)
    add.revoke(waiting)
    revoke_myself.delay()
    assert outcomes(alsek_runner.run_until_empty()) == [("revoke_myself", "revoked")]
    assert ("on_revocation", None) in told

def test_paused(alsek_runner):
    from alsek.tools.inspector import Inspector
    add.delay(1, 1)
    add.options(delay=1_000).delay(2, 2)
    Inspector(broker).pause("sums", reason="a test")
    assert alsek_runner.run_until_empty() == []
    Inspector(broker).resume("sums")
    assert len(alsek_runner.run_until_empty()) == 2

def test_no_end(alsek_runner):
    again.delay()
    with pytest.raises(RuntimeError, match="no end after 20 runs"):
        alsek_runner.run_until_empty(most=20)

def test_unknown(alsek_runner):
    from alsek import Message
    broker.submit(Message("nobody_knows", queue="sums"))
    with pytest.raises(UnknownTaskError, match="nobody_knows"):
        alsek_runner.run_until_empty()

def test_what_cannot_be_read(alsek_runner):
    message = add.delay(1, 1)
    good = add.delay(2, 2)
    backend.links.command("HSET", broker.keys.record(message.uuid), "b", "what is this")
    assert [one.message.uuid for one in alsek_runner.run_until_empty()] == [good.uuid]
    assert broker.redis.record(message.uuid)[b"a"] == b"corrupt"

def test_ctrl_c(alsek_runner):
    stop.delay()
    with pytest.raises(KeyboardInterrupt):
        alsek_runner.run_until_empty()
""",
    )

    result.assert_outcomes(passed=10)


def test_who_names_no_tasks_is_told_how(user: pytest.Pytester) -> None:
    user.makeini("[pytest]\n")
    result = run(user, "def test_it(alsek_runner): ...")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*alsek_tasks = your_package.tasks*"])


def test_the_plugin_costs_nothing_where_nobody_asks_for_it(user: pytest.Pytester) -> None:
    user.makepyfile(
        """
        import sys

        def test_it():
            assert "alsek_worker.testing.plugin" in sys.modules
            assert not {"redis", "msgspec", "alsek_worker.execution"} & set(sys.modules)
        """
    )
    result = user.runpytest_subprocess(*ALONE)

    result.assert_outcomes(passed=1)


def test_it_serves_other_test_runners(user: pytest.Pytester) -> None:
    program = user.makepyfile(
        program="""
        import under_test
        from alsek_worker.testing import TestServer

        with TestServer() as server, server.runner("under_test") as runner:
            message = under_test.add.delay(1, 2)
            runner.run_until_empty()
            print("sum", under_test.results.get(message))
        """
    )

    assert user.run(sys.executable, program).outlines == ["sum 3"]
