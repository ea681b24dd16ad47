"""Upstream's path to the recording of exceptions."""

from __future__ import annotations

from alsek.core.failure import get_exception_name, parse_exception
from alsek.types import ExceptionDetails

__all__ = ["ExceptionDetails", "get_exception_name", "parse_exception"]
