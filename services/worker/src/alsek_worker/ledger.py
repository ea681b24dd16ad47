"""The leases of one child, in memory that its supervisor reads without asking.

User code may hold the GIL, block the event loop or crash, and still the supervisor must
know which messages this child has: to renew them, to end them at their deadline, to give
them back when the child is dead. So the child writes each claim, start and end into an
anonymous shared mapping, which costs well under a microsecond, and never sends anything.

One process writes a slot, one reads it. A slot's state is one byte, written last, and a
reader looks twice, so a torn slot is never believed. Times are `CLOCK_MONOTONIC`, which all
processes of one machine share.
"""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
import time
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing import reduction
from struct import Struct
from typing import Any

from alsek_worker.tally import Labels, NoTally, Tally

#: Header and slot sizes; a slot has room to spare, so that a later field keeps the layout.
HEADER_BYTES = 4096
SLOT_BYTES = 640

#: Longest uuid and token, in UTF-8: the core allows 128 characters of any alphabet.
UUID_BYTES = 512
TOKEN_BYTES = 64

FREE, HELD, RUNNING = 0, 1, 2

#: State (0 while it is written), lengths of token and uuid, queue index, generation, start, deadline, uuid, token.
_SLOT = Struct(f"<xBHHxxQQQ{UUID_BYTES}s{TOKEN_BYTES}s")
_GENERATION_AT = 8
_TIMES = Struct("<QQ")
_TIMES_AT = 16
_NUMBER = Struct("<Q")

# Header fields, one cache line per writer.
_TICK_AT = 64
_DONE_AT = 72
_PRESSURE_AT = 88
_NEXT_LOOK_AT = 256
_ASKED = Struct("<QQ")
_ASKED_AT = 320


class Stop(IntEnum):
    """Why the supervisor interrupts a message that runs."""

    TIMEOUT = 1
    REVOKED = 2
    LOST = 3
    SHUTDOWN = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One message that a child has under a lease."""

    slot: int
    #: Grows with each claim of the child: tells two messages in one slot apart.
    generation: int
    uuid: str
    token: str
    #: Index into the queues of the child's settings.
    queue_index: int
    running: bool
    #: Monotonic ms; 0 while it only waits in the child.
    started_ms: int
    #: Monotonic ms; 0 when there is none.
    deadline_ms: int


class Ledger:
    """A table of leases: written by a child, read by its supervisor.

    Pass it to `Process(args=…)`: the child gets the same memory. It has no name in any
    file system, so nothing is left behind however the two processes end.

    Args:
        slots: How many messages the child may have at a time.
        descriptor: Of memory that exists already; new memory by default.
        labels: What the child counts for metrics; nothing by default.

    Attributes:
        tally: Its counters, behind the slots.
    """

    def __init__(self, slots: int, descriptor: int | None = None, labels: Labels | None = None) -> None:
        self._slots_end = HEADER_BYTES + slots * SLOT_BYTES
        size = self._slots_end + (labels.numbers * _NUMBER.size if labels else 0)
        if descriptor is None:
            descriptor = _anonymous_file()
            os.ftruncate(descriptor, size)
        self._fd = descriptor
        self._slots = slots
        self._labels = labels
        self._memory = mmap.mmap(descriptor, size)
        self.tally = Tally(memoryview(self._memory)[self._slots_end : size].cast("Q"), labels) if labels else NoTally()
        # The last in is the first out, so that a lightly loaded child touches few pages. Append and pop are atomic.
        self._vacant = list(range(slots - 1, -1, -1))
        self._generations = itertools.count(1)

    # What the child does.

    def hold(self, uuid: str, token: str, queue_index: int) -> int:
        """Note a message that was claimed and does not run yet.

        Returns:
            Its slot, for `start` and `free`.

        Raises:
            IndexError: All slots are taken; claim no more than `vacant`.
            ValueError: The uuid or token is too long to be followed.
        """
        uuid_bytes, token_bytes = uuid.encode(), token.encode()
        if len(uuid_bytes) > UUID_BYTES or len(token_bytes) > TOKEN_BYTES:
            raise ValueError(f"uuids have at most {UUID_BYTES} bytes and tokens {TOKEN_BYTES}: {uuid!r}, {token!r}")
        slot = self._vacant.pop()
        at = HEADER_BYTES + slot * SLOT_BYTES
        _SLOT.pack_into(
            self._memory, at, len(token_bytes), len(uuid_bytes), queue_index,
            next(self._generations), 0, 0, uuid_bytes, token_bytes,
        )  # fmt: skip
        self._memory[at] = HELD
        return slot

    def start(self, slot: int, started_ms: int, deadline_ms: int = 0) -> bool:
        """Note that the message runs from now on.

        Args:
            slot: From `hold`.
            started_ms: `now_ms()`.
            deadline_ms: When it must be over; 0 for never.

        Returns:
            Whether the supervisor looks here only after that deadline: a child that
            leaves its timeouts to the supervisor tells it `("look",)` then.
        """
        at = HEADER_BYTES + slot * SLOT_BYTES
        _TIMES.pack_into(self._memory, at + _TIMES_AT, started_ms, deadline_ms)
        self._memory[at] = RUNNING
        return 0 < deadline_ms < self.next_look_ms

    def free(self, slot: int) -> None:
        """Forget a message, once it is settled or given back."""
        self._memory[HEADER_BYTES + slot * SLOT_BYTES] = FREE
        self._vacant.append(slot)

    @property
    def vacant(self) -> int:
        """How many more messages `hold` can take."""
        return len(self._vacant)

    def asked_to_stop(self, slot: int) -> Stop | None:
        """Why the supervisor wants the message in this slot interrupted, if it does."""
        generation, asked = _ASKED.unpack_from(self._memory, _ASKED_AT)
        if not generation or asked >> 8 != slot or generation != self._generation(slot):
            return None
        return Stop(asked & 0xFF)

    # What the supervisor does.

    def entries(self) -> list[Entry]:
        """Everything the child has now."""
        states = self._memory[HEADER_BYTES : self._slots_end : SLOT_BYTES]
        if not any(states):
            return []
        return [entry for slot, state in enumerate(states) if state and (entry := self._read(slot))]

    def still_has(self, entry: Entry) -> bool:
        """Whether the child has not settled this message yet."""
        state = self._memory[HEADER_BYTES + entry.slot * SLOT_BYTES]
        return state != FREE and self._generation(entry.slot) == entry.generation

    def ask_to_stop(self, entry: Entry, reason: Stop) -> None:
        """Say which message the following SIGTERM is for; a child that finished it meanwhile ignores the signal."""
        _ASKED.pack_into(self._memory, _ASKED_AT, 0, 0)
        _NUMBER.pack_into(self._memory, _ASKED_AT + 8, entry.slot << 8 | reason)
        _NUMBER.pack_into(self._memory, _ASKED_AT, entry.generation)

    def seal(self) -> None:
        """Let go of the descriptor, once the child has its own; the memory goes with the last reference."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    # Header numbers; each has one writer.

    @property
    def tick_ms(self) -> int:
        """When the child last showed that it can run Python code of ours (monotonic ms; 0: not yet)."""
        return self._number(_TICK_AT)

    @tick_ms.setter
    def tick_ms(self, value: int) -> None:
        _NUMBER.pack_into(self._memory, _TICK_AT, value)

    @property
    def done(self) -> int:
        """Messages that the child finished, whatever the outcome."""
        return self._number(_DONE_AT)

    @done.setter
    def done(self, value: int) -> None:
        _NUMBER.pack_into(self._memory, _DONE_AT, value)

    @property
    def full_since_ms(self) -> int:
        """Since when the child has been full while more was waiting (monotonic ms; 0: it is not)."""
        return self._number(_PRESSURE_AT)

    @full_since_ms.setter
    def full_since_ms(self, value: int) -> None:
        _NUMBER.pack_into(self._memory, _PRESSURE_AT, value)

    @property
    def next_look_ms(self) -> int:
        """When the supervisor reads the deadlines again at the latest (monotonic ms)."""
        return self._number(_NEXT_LOOK_AT)

    @next_look_ms.setter
    def next_look_ms(self, value: int) -> None:
        _NUMBER.pack_into(self._memory, _NEXT_LOOK_AT, value)

    def _number(self, at: int) -> int:
        value: int = _NUMBER.unpack_from(self._memory, at)[0]
        return value

    def _generation(self, slot: int) -> int:
        return self._number(HEADER_BYTES + slot * SLOT_BYTES + _GENERATION_AT)

    def _read(self, slot: int) -> Entry | None:
        at = HEADER_BYTES + slot * SLOT_BYTES
        seen = self._memory[at : at + SLOT_BYTES]
        for _ in range(10):
            again = self._memory[at : at + SLOT_BYTES]
            if again == seen:
                break
            seen = again
        if seen[0] == FREE:
            return None
        token_length, uuid_length, queue_index, generation, started, deadline, uuid, token = _SLOT.unpack_from(seen)
        running = seen[0] == RUNNING
        return Entry(
            slot=slot,
            generation=generation,
            uuid=uuid[:uuid_length].decode(errors="replace"),
            token=token[:token_length].decode(errors="replace"),
            queue_index=queue_index,
            running=running,
            started_ms=started if running else 0,
            deadline_ms=deadline if running else 0,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Only while a Process is being started: the descriptor itself travels to the child.
        return _attached, (reduction.DupFd(self._fd), self._slots, self._labels)


def now_ms() -> int:
    """Milliseconds of the clock that all processes of this machine share."""
    return time.monotonic_ns() // 1_000_000


def _attached(descriptor: Any, slots: int, labels: Labels | None) -> Ledger:
    ledger = Ledger(slots, descriptor.detach(), labels)
    ledger.seal()
    return ledger


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("alsek-ledger")
    fd, path = tempfile.mkstemp(prefix="alsek-ledger-")
    os.unlink(path)  # noqa: PTH108  (nothing but a descriptor is at hand)
    return fd
