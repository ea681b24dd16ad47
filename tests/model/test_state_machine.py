"""P1: thousands of random lives of messages, on the model and on a real server, compared after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from harness.seeds import chaos_seed, chaos_size
from model.engine_under_test import EngineUnderTest, scripts_under_test
from model.machine import QueueMachine, machine_settings

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
    machine = seed(chaos_seed())(type("Compared", (QueueMachine,), {"engine": engine}))

    run_state_machine_as_test(machine, settings=machine_settings(chaos_size(60, 5_000), chaos_size(30, 100)))
