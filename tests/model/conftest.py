"""One server for all tests of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def model_server() -> Iterator[Server]:
    with Server(appendonly=False) as server:
        yield server
