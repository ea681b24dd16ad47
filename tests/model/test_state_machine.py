"""P1: thousands of random lives of messages, on the model and on a real server, compared after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from alsek.storage.backends.redis.verbs import Interest, NewMessage, Policy
from harness.seeds import chaos_seed, chaos_size
from model.engine_under_test import (
    CRASH_ERROR,
    EXPIRY_ERROR,
    REVOCATION_ERROR,
    STATUSES,
    EngineUnderTest,
    scripts_under_test,
)
from model.machine import beside, machine_settings
from model.queue_model import QueueModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.server import Server


@pytest.fixture
def engine(model_server: Server) -> Iterator[EngineUnderTest]:
    engine = EngineUnderTest(model_server, scripts_under_test())
    yield engine
    engine.close()


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
def test_the_verbs_do_what_the_model_says(engine: EngineUnderTest) -> None:
    machine = seed(chaos_seed())(beside(engine))

    run_state_machine_as_test(machine, settings=machine_settings(chaos_size(60, 5_000), chaos_size(40, 100)))


def test_a_narrowed_claim_walks_a_long_line_in_steps(engine: EngineUnderTest) -> None:
    policy = Policy()
    engine.start(policy)
    model = QueueModel(policy, STATUSES, CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR)
    line = [NewMessage(f"{n:04d}", "mul" if n < 520 else "add", b"body") for n in range(522)]
    for start in (0, 261):
        engine.submit("q", line[start : start + 261])
        model.submit(engine.machine.advance(1), "q", line[start : start + 261])
    offset, brought = 0, []

    for turn in range(4):
        interests = [Interest("q", ("add",), offset)]
        now = engine.machine.advance(1)
        real = engine.claim(interests, f"w.0-{turn}", "w.0", 1)
        expected = model.claim(now, interests, f"w.0-{turn}", "w.0", 1)

        assert (real.offsets, real.messages) == (expected.offsets, expected.messages)
        offset = real.offsets[0]
        brought.append([message.uuid for message in real.messages])

    assert brought == [[], ["0520"], ["0521"], []]
