"""The journal survives kill, fork and travel, and reads back in order."""

import os
import pickle
import threading
from pathlib import Path

import pytest

from harness.journal import JOURNAL_VARIABLE, Journal, read_journal
from harness.processes import Processes, python


def test_events_read_back_in_order_with_their_fields(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    journal.call("submit", "m1")
    journal.ok("submit", "m1")
    journal.start("m1", "1.7.abc", attempt=1)
    journal.end("m1", "1.7.abc")

    events = read_journal(tmp_path)
    assert [(event.kind, event.op, event.token) for event in events] == [
        ("CALL", "submit", None),
        ("OK", "submit", None),
        ("START", "", "1.7.abc"),
        ("END", "", "1.7.abc"),
    ]
    assert events[2].fields == {"attempt": 1}
    assert {event.pid for event in events} == {os.getpid()}


def test_a_call_is_recorded_with_how_it_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    with journal.calling("submit", "good"):
        pass
    with pytest.raises(ConnectionError), journal.calling("submit", "open"):
        raise ConnectionResetError
    with pytest.raises(ValueError, match="no"), journal.calling("submit", "bad"):
        raise ValueError("no")

    kinds = [(event.kind, event.uuid) for event in read_journal(tmp_path) if event.kind != "CALL"]
    assert kinds == [("OK", "good"), ("UNKNOWN", "open"), ("ERR", "bad")]


def test_each_process_writes_its_own_file_after_a_fork(processes: Processes, journal: Journal) -> None:
    parent = processes.start(python("-m", "harness_tests.children", "journal_fork"))
    parent.wait()

    events = read_journal(journal.directory)

    assert {event.uuid: event.pid == parent.pid for event in events} == {"parent": True, "child": False}
    assert len(list(journal.directory.iterdir())) == 2


def test_a_journal_travels_to_another_process(tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(Journal(tmp_path)))

    copy.start("m1")

    assert len(read_journal(tmp_path)) == 1


def test_threads_share_a_journal_without_torn_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    def write(name: str) -> None:
        for number in range(300):
            journal.start(f"{name}-{number}", padding="x" * 500)

    threads = [threading.Thread(target=write, args=(str(n),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read_journal(tmp_path)) == 1200


def test_a_killed_writer_leaves_whole_lines(processes: Processes, journal: Journal) -> None:
    writer = processes.start(python("-m", "harness_tests.children", "journal_flood"))
    writer.wait_for_line("writing")

    writer.kill()

    events = read_journal(journal.directory)
    assert [event.uuid for event in events] == [f"m{number}" for number in range(len(events))]


def test_an_unfinished_last_line_is_left_out_and_a_broken_one_is_not(tmp_path: Path) -> None:
    Journal(tmp_path).start("m1")
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()

    path.write_bytes(whole + whole[:10])
    assert len(read_journal(tmp_path)) == 1

    path.write_bytes(whole[:10] + b"\n" + whole)
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        read_journal(tmp_path)


def test_a_task_finds_the_journal_of_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOURNAL_VARIABLE, str(tmp_path))

    Journal.from_env().start("m1")

    assert len(read_journal(tmp_path)) == 1
