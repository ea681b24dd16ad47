"""Turning whatever user code raised into texts that survive the process.

Exceptions of strangers may fail to print, print megabytes, or print what is not valid text; none of that may
stop a worker from settling a message.
"""

from __future__ import annotations

import traceback

from alsek.defaults import MAX_EXCEPTION_TEXT
from alsek.types import ExceptionDetails


def parse_exception(error: BaseException) -> ExceptionDetails:
    """Record an exception: name, text and traceback, each printable and bounded."""
    return ExceptionDetails(name=get_exception_name(error), text=_text(error), traceback=_traceback(error))


def get_exception_name(error: BaseException) -> str:
    """Return the dotted path of the exception's class; bare for builtins."""
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - user code may raise anything while it prints itself
        return f"<{get_exception_name(error)} could not be printed>"
    return _presentable(text)


def _traceback(error: BaseException) -> str:
    try:
        lines = traceback.format_exception(error)
    except Exception:  # noqa: BLE001 - the same: formatting calls into user code
        lines = traceback.format_tb(error.__traceback__)
    return _presentable("".join(lines))


def _presentable(text: str) -> str:
    """Make it valid UTF-8, and keep head and tail of what is too long: the first cause and the last frames."""
    if len(text) > MAX_EXCEPTION_TEXT:
        half = MAX_EXCEPTION_TEXT // 2 - 32
        text = f"{text[:half]}\n… {len(text) - 2 * half:,} characters left out …\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
