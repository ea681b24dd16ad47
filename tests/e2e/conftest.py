"""Real processes and real servers for the tests of this folder."""

from harness.fixtures import *  # noqa: F403 - works with and without a root conftest
