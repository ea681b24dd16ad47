"""Fixtures of the core's tests: a real server, and what stands on it."""

from harness.fixtures import *  # noqa: F403 - works with and without a root conftest
