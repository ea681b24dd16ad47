"""P1: thousands of random lives of messages, on the model and on a real server, compared after every step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from harness.seeds import chaos_seed, chaos_size
from harness.server import Server
from model.engine_under_test import EngineUnderTest
from model.machine import QueueMachine


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineUnderTest]:
    with Server(appendonly=False) as server:
        engine = EngineUnderTest(server)
        yield engine
        engine.close()


@pytest.mark.chaos
@pytest.mark.timeout(7_200)
def test_the_verbs_do_what_the_model_says(engine: EngineUnderTest) -> None:
    machine = type("Compared", (QueueMachine,), {"engine": engine})
    machine = seed(chaos_seed())(machine)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=chaos_size(60, 5_000),
            stateful_step_count=chaos_size(30, 100),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
