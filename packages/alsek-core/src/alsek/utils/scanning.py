"""Upstream's path to the discovery of tasks."""

from __future__ import annotations

from alsek.core.discovery import collect_tasks

__all__ = ["collect_tasks"]
