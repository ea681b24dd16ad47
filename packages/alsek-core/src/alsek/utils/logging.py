"""Upstream's path to logging."""

from __future__ import annotations

import logging

from alsek.logging import LOGGING_DATEFMT, LOGGING_FORMAT, setup_logging

__all__ = ["LOGGING_DATEFMT", "LOGGING_FORMAT", "get_logger", "setup_logging"]


def get_logger() -> logging.Logger:
    """Return the logger above all of Alsek's."""
    return logging.getLogger("alsek")
