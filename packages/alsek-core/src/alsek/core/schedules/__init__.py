"""Schedules: what is to be submitted when, kept in Redis; whoever leads the schedulers fires them."""

from __future__ import annotations

from alsek.core.schedules.policy import FirePolicy
from alsek.core.schedules.schedule import Leader, Schedule, ScheduleCounts, SchedulePage
from alsek.core.schedules.store import ScheduleStore

__all__ = ["FirePolicy", "Leader", "Schedule", "ScheduleCounts", "SchedulePage", "ScheduleStore"]
