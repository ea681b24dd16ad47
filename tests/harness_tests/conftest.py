"""The harness is tested on its own fixtures."""

from harness.fixtures import *  # noqa: F403 - works with and without a root conftest
