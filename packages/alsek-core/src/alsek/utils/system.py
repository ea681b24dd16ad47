"""Upstream's path to signals, processors and threads."""

from __future__ import annotations

import os
import sys

from alsek.core.stop_signal import StopSignalListener

__all__ = ["StopSignalListener", "smart_cpu_count", "thread_raise"]


def smart_cpu_count() -> int:
    """Return the processors this process may use, less one for whoever looks after the others; at least 1."""
    available = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(available - 1, 1)


def thread_raise(ident: int, exception: type[BaseException]) -> None:
    """Raise an exception in another thread, as soon as that runs Python code again.

    Args:
        ident: `ident` of the thread.
        exception: A class.

    Raises:
        ValueError: There is no such thread.
    """
    import ctypes

    if not ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(exception)):
        raise ValueError(f"No thread has the ident {ident}")
