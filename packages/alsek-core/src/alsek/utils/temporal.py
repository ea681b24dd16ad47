"""Upstream's path to timestamps: milliseconds since the epoch, truly UTC whatever the host's zone."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utcnow_timestamp_ms() -> int:
    """Return the time now in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def from_timestamp_ms(timestamp: int) -> datetime:
    """Turn milliseconds since the epoch into an aware datetime in UTC."""
    return datetime.fromtimestamp(timestamp / 1000, tz=UTC)


def time_ms() -> int:
    """Return the time now in milliseconds since the epoch."""
    return utcnow_timestamp_ms()
