from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A server of its own for the page, empty at the start."""
    with Server(appendonly=False) as server:
        yield server.url
