"""One engine and one running stack for all tests; what this machine lacks is said, and in CI it is a failure."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from compose import standins
from compose.engine import Engine, LackingError
from compose.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES = ("worker-orders", "scheduler", "api")


@pytest.fixture(scope="session")
def bases() -> Iterator[dict[str, str]]:
    """An engine, and base images to build on: the variables of compose.yaml that name them."""
    with ExitStack() as stack:
        try:
            stack.enter_context(Engine())
            found = standins.ensure()
        except LackingError as lack:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(str(lack))
        yield found


@pytest.fixture(scope="session")
def built(bases: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack with its images built; nothing runs."""
    stack = Stack(tmp_path_factory.mktemp("stack"), bases)
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
