"""One seed for every random fault of a run: printed first, repeated at the end, replayed by ALSEK_CHAOS_SEED."""

from __future__ import annotations

import os
import secrets
import signal
import sys

import pytest
from hypothesis import HealthCheck, settings

SEED = "ALSEK_CHAOS_SEED"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # xdist starts its workers after this, so they inherit the seed.
    seed = os.environ.setdefault(SEED, str(secrets.randbelow(2**32)))
    if config.pluginmanager.hasplugin("hypothesispytest") and config.getoption("--hypothesis-seed", None) is None:
        config.option.hypothesis_seed = seed
        # How long an example takes to make or to check says how crowded the machine is, and nothing of our code.
        settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile("patient")


def pytest_report_header() -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    return f"alsek: Python {version}, {SEED}={os.environ[SEED]}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"replay the random faults of this run with {SEED}={os.environ[SEED]}")


# Whoever starts us in the background has SIGINT ignored, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
