"""When something is to happen: cron expressions, intervals and dates, in the time zone of your choice.

A trigger says which instants are its own; whether, where and by whom a message is fired at them is the business of
schedules. Instants are milliseconds since the epoch, UTC.
"""

from __future__ import annotations

from alsek.core.triggers.cron import CronTrigger
from alsek.core.triggers.date import DateTrigger
from alsek.core.triggers.foreign import ForeignTrigger, adopt
from alsek.core.triggers.interval import IntervalTrigger
from alsek.core.triggers.protocol import Trigger
from alsek.core.triggers.wire import from_data, to_data

__all__ = [
    "CronTrigger",
    "DateTrigger",
    "ForeignTrigger",
    "IntervalTrigger",
    "Trigger",
    "adopt",
    "from_data",
    "to_data",
]
