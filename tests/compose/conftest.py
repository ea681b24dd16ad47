"""One engine and one running stack for all tests; what this machine lacks is said, and in CI it is a failure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from compose.engine import Engine, missing
from compose.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = ("worker-orders", "scheduler", "api")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with its images built; nothing runs."""
    if lack := missing():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lack)
    with Engine(tmp_path_factory.mktemp("engine")):
        stack = Stack(tmp_path_factory.mktemp("stack"))
        try:
            stack.compose("build", *SERVICES)
            yield stack
        finally:
            stack.close()


@pytest.fixture(scope="session")
def stack(built: Stack) -> Stack:
    """The stack, running; a test that ends something starts it again."""
    built.up()
    return built
