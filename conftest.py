"""One seed for every random fault of a run: printed first, repeated at the end, replayed by ALSEK_CHAOS_SEED."""

from __future__ import annotations

import ast
import functools
import gc
import os
import secrets
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = "ALSEK_CHAOS_SEED"
#: Before these, CPython counts the depth of all syntax trees in one place: python/cpython#106905.
PARSES_ONE_AT_A_TIME = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)


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


def _one_at_a_time(parse: Callable[..., Any]) -> Callable[..., Any]:
    """`parse` such that no other parse begins while it runs.

    The garbage collector may run any code between two nodes: a finaliser whose traceback is formatted, and that
    parses, or whatever another thread has to do.
    """
    alone = threading.RLock()

    @functools.wraps(parse)
    def parse_alone(*args: Any, **kwargs: Any) -> Any:
        with alone:
            collects = gc.isenabled()
            gc.disable()
            try:
                return parse(*args, **kwargs)
            finally:
                if collects:
                    gc.enable()

    return parse_alone


if PARSES_ONE_AT_A_TIME:
    ast.parse = _one_at_a_time(ast.parse)
