"""Real installations of Redis: a cluster, Sentinels, encrypted and guarded servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.cluster import Cluster
from harness.fixtures import *  # noqa: F403 - works with and without a root conftest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    """Three primaries, as the last test left them."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    """Three primaries, empty; a test may move slots."""
    shared_cluster.reset()
    return shared_cluster
