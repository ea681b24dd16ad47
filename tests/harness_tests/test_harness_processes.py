"""Programs under test are watched by their log and never outlive the test."""

import re
import signal
import sys
from pathlib import Path

import pytest

from harness.eventually import eventually
from harness.processes import Process, Processes, alsek, python
from harness.procfs import children, descendants, kill_now, look, running, zombies


def _child(processes: Processes, *args: str) -> Process:
    return processes.start(python("-m", "harness_tests.children", *args))


def _pid_in(line: str) -> int:
    found = re.search(r"pid=(\d+)", line)
    assert found
    return int(found[1])


def test_lines_are_awaited(processes: Processes) -> None:
    child = _child(processes, "polite")

    assert child.wait_for_line("second") == "second"
    assert child.wait_for_line("second", count=2) == "second again"


def test_a_line_of_a_program_that_ended_fails_with_its_log(processes: Processes) -> None:
    child = processes.start(python("-c", "print('boo'); raise SystemExit(3)"))

    with pytest.raises(AssertionError, match=r"ended \(3\)[^$]*boo"):
        child.wait_for_line("never")


def test_a_missing_line_times_out(processes: Processes) -> None:
    child = _child(processes, "polite")
    child.wait_for_line("first")

    with pytest.raises(AssertionError, match=r"not within [0-9.]+ s: .never. from"):
        child.wait_for_line("never", timeout=0.05)


def test_a_program_ends_in_order_or_by_force(processes: Processes) -> None:
    first, second = _child(processes, "polite"), _child(processes, "polite")
    for child in (first, second):
        child.wait_for_line("second again")

    assert first.terminate() == 7
    assert second.kill() == -signal.SIGKILL
    assert not first.alive


def test_a_program_is_stopped_and_continued(processes: Processes) -> None:
    child = _child(processes, "polite")
    child.wait_for_line("first")

    child.pause()
    eventually(lambda: (found := look(child.pid)) and found.state == "T")
    child.resume()

    eventually(lambda: (found := look(child.pid)) and found.state == "S")


def test_orphans_are_found_and_ended(processes: Processes) -> None:
    parent = _child(processes, "orphan_maker", "leave")
    pid = _pid_in(parent.wait_for_line("child pid="))
    parent.wait()

    assert [found.pid for found in parent.orphans()] == [pid]
    parent.close()

    assert not running(pid)
    assert parent.orphans() == []


def test_a_tree_holds_the_program_and_its_descendants(processes: Processes) -> None:
    parent = _child(processes, "orphan_maker")
    pid = _pid_in(parent.wait_for_line("child pid="))

    assert {found.pid for found in parent.tree()} == {parent.pid, pid}
    assert [found.pid for found in children(parent.pid)] == [pid]
    assert [found.pid for found in descendants(parent.pid)] == [pid]
    assert parent.orphans() == []


def test_zombies_are_seen(processes: Processes) -> None:
    parent = _child(processes, "orphan_maker")
    pid = _pid_in(parent.wait_for_line("child pid="))

    kill_now(pid)

    assert [found.pid for found in zombies(parent.pid)] == [pid]
    assert not running(pid)


def test_a_spawned_child_outlives_the_thread_that_asked_and_not_the_process(processes: Processes) -> None:
    parent = _child(processes, "grandchild_of_spawn")
    pid = _pid_in(parent.wait_for_line("spawned pid="))
    assert running(pid)

    parent.kill()

    eventually(lambda: not running(pid), 2)


def test_command_lines_use_this_python(tmp_path: Path) -> None:
    assert python("-m", "x") == [sys.executable, "-m", "x"]
    assert Path(alsek("worker")[0]).parent == Path(sys.executable).parent
    with Process(python("-c", "print('hello')"), directory=tmp_path) as process:
        assert process.wait() == 0
        assert "hello" in process.log


def test_a_process_that_is_just_being_executed_is_not_overlooked(tmp_path: Path) -> None:
    """Linux shows an empty environment inside exec; 1 of 10 fresh children is seen there."""
    for _ in range(40):
        with Process(["/bin/sh", "-c", "exec sleep 60"], directory=tmp_path) as process:
            assert [found.pid for found in process.tree()] == [process.pid]
