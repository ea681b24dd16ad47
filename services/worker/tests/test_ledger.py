"""The shared table of leases: what a child writes, its supervisor reads, torn slots included."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from alsek_worker.ledger import Entry, Ledger, Stop, now_ms

UUID = "0193a1b2-aaaa-7bbb-8ccc-0123456789ab"
TOKEN = "0123456789abcdef.3-17"


def test_a_claimed_message_is_seen_as_held_until_it_starts() -> None:
    ledger = Ledger(8)

    slot = ledger.hold(UUID, TOKEN, 2)

    assert ledger.entries() == [Entry(slot, 1, UUID, TOKEN, 2, running=False, started_ms=0, deadline_ms=0)]

    ledger.start(slot, 1_000, 61_000)

    assert ledger.entries() == [Entry(slot, 1, UUID, TOKEN, 2, running=True, started_ms=1_000, deadline_ms=61_000)]


def test_a_freed_slot_is_forgotten_and_used_again() -> None:
    ledger = Ledger(1)
    slot = ledger.hold(UUID, TOKEN, 0)
    [entry] = ledger.entries()

    ledger.free(slot)

    assert ledger.entries() == []
    assert not ledger.still_has(entry)
    assert ledger.hold("another", TOKEN, 0) == slot


def test_two_messages_in_one_slot_are_told_apart() -> None:
    ledger = Ledger(1)
    slot = ledger.hold(UUID, TOKEN, 0)
    [first] = ledger.entries()
    ledger.free(slot)

    ledger.hold(UUID, TOKEN, 0)

    assert not ledger.still_has(first)
    assert ledger.still_has(ledger.entries()[0])


def test_the_longest_uuid_of_the_core_fits_in_any_alphabet() -> None:
    ledger = Ledger(1)
    uuid = "\U0001d518" * 128  # four bytes each in UTF-8

    ledger.hold(uuid, TOKEN, 65_535)

    assert [(entry.uuid, entry.queue_index) for entry in ledger.entries()] == [(uuid, 65_535)]


def test_what_cannot_be_followed_is_refused() -> None:
    ledger = Ledger(2)

    with pytest.raises(ValueError, match="at most"):
        ledger.hold("x" * 513, TOKEN, 0)
    with pytest.raises(ValueError, match="at most"):
        ledger.hold(UUID, "t" * 65, 0)

    assert ledger.vacant == 2
    assert ledger.entries() == []


def test_a_full_ledger_says_so() -> None:
    ledger = Ledger(1)
    ledger.hold(UUID, TOKEN, 0)

    assert ledger.vacant == 0
    with pytest.raises(IndexError):
        ledger.hold("another", TOKEN, 0)


def test_only_the_message_that_is_meant_is_asked_to_stop() -> None:
    ledger = Ledger(2)
    slot = ledger.hold(UUID, TOKEN, 0)
    other = ledger.hold("other", TOKEN, 0)
    [entry] = [each for each in ledger.entries() if each.slot == slot]

    ledger.ask_to_stop(entry, Stop.TIMEOUT)

    assert ledger.asked_to_stop(slot) is Stop.TIMEOUT
    assert ledger.asked_to_stop(other) is None


def test_a_request_to_stop_does_not_hit_the_next_message_in_the_slot() -> None:
    ledger = Ledger(1)
    slot = ledger.hold(UUID, TOKEN, 0)
    [entry] = ledger.entries()
    ledger.free(slot)
    ledger.hold("next", TOKEN, 0)

    ledger.ask_to_stop(entry, Stop.REVOKED)

    assert ledger.asked_to_stop(slot) is None


def test_the_supervisor_is_told_only_of_deadlines_that_it_would_miss() -> None:
    ledger = Ledger(3)
    ledger.next_look_ms = 5_000

    assert ledger.start(ledger.hold("a", TOKEN, 0), 0, 4_999)
    assert not ledger.start(ledger.hold("b", TOKEN, 0), 0, 5_000)
    assert not ledger.start(ledger.hold("c", TOKEN, 0), 0, 0)


def test_numbers_of_the_header_do_not_touch_each_other() -> None:
    ledger = Ledger(1)

    ledger.tick_ms, ledger.done, ledger.full_since_ms, ledger.next_look_ms = 1, 2, 3, 4

    assert (ledger.tick_ms, ledger.done, ledger.full_since_ms, ledger.next_look_ms) == (1, 2, 3, 4)
    assert ledger.entries() == []


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_writes_what_its_parent_reads_even_when_it_is_dead(method: str) -> None:
    context = multiprocessing.get_context(method)
    ledger = Ledger(16)
    child = context.Process(target=_write, args=(ledger,))
    child.start()
    child.join(20)

    assert child.exitcode == -9
    assert {(entry.uuid, entry.running) for entry in ledger.entries()} == {("held", False), ("running", True)}
    assert abs(ledger.tick_ms - now_ms()) < 60_000


def test_a_reader_never_sees_a_slot_half_written() -> None:
    ledger = Ledger(4)
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            slot = ledger.hold(f"{number}", f"token-{number}", number % 60_000)
            time.sleep(0)  # here the reader gets its turn
            ledger.start(slot, number, number)
            time.sleep(0)
            ledger.free(slot)

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[Entry] = []
    deadline = time.monotonic() + 30
    while len(seen) < 2_000 and time.monotonic() < deadline:
        seen += ledger.entries()
    ended.set()
    writer.join()

    assert len(seen) >= 2_000
    for entry in seen:
        number = int(entry.uuid)
        assert (entry.token, entry.queue_index) == (f"token-{number}", number % 60_000)
        assert (entry.started_ms, entry.deadline_ms) in {(0, 0), (number, number)}


def _write(ledger: Ledger) -> None:
    import os
    import signal

    ledger.tick_ms = now_ms()
    ledger.hold("held", TOKEN, 0)
    ledger.start(ledger.hold("running", TOKEN, 0), now_ms(), 0)
    os.kill(os.getpid(), signal.SIGKILL)
