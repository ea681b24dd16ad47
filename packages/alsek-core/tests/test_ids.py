"""The ids of messages: valid UUIDv7, growing, and never the same in two processes."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from alsek.core import ids
from alsek.core.ids import made_at, new_uuid


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000

    text = new_uuid()

    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_grow_within_a_thread_while_others_make_ids_too() -> None:
    def take(_: int) -> list[str]:
        return [new_uuid() for _ in range(20_000)]

    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(take, range(4)))

    assert all(batch == sorted(batch) for batch in batches)
    assert len({one for batch in batches for one in batch}) == 80_000


def test_ids_keep_growing_when_the_clock_goes_back() -> None:
    sequence = ids._Sequence()
    now = time.time_ns() // 1_000_000
    made = []

    for offset in (0, 5, -3_600_000, 1):
        made += [sequence.next(now + offset), sequence.next(now + offset)]

    assert made == sorted(made)
    assert len(set(made)) == len(made)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_makes_ids_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = ids._Sequence()
    monkeypatch.setattr(ids, "_sequence", sequence)
    os.register_at_fork(after_in_child=sequence.restart)
    now = time.time_ns() // 1_000_000
    new_uuid(now)
    reader, writer = os.pipe()

    child = os.fork()
    if child == 0:
        os.write(writer, new_uuid(now).encode())
        os._exit(0)
    os.waitpid(child, 0)

    theirs = os.read(reader, 100).decode()
    assert uuid.UUID(theirs).version == 7
    assert theirs[:-4] != new_uuid(now)[:-4]
    os.close(reader)
    os.close(writer)


def test_the_time_of_an_id_can_be_read_back() -> None:
    assert made_at(ids._Sequence().next(2**40)) == 2**40
    assert [made_at(text) for text in ("", "mine", str(uuid.uuid4()), "x" * 14 + "7" + "x" * 21)] == [None] * 4
