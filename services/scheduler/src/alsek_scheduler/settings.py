"""What an operator can choose about a scheduler, with the reason for each default."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field

from alsek.exceptions import ValidationError

#: Bounds how long nothing is fired after the leader was killed; short enough for schedules by the minute.
DEFAULT_LEASE_MS = 10_000

#: Below this a lease lapses while its renewal is under way.
SHORTEST_LEASE_MS = 500


def new_identity() -> str:
    """Name this boot: a host and a process id may come again, the random part does not."""
    return f"{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """The choices for one scheduler.

    Attributes:
        lease_ms: How long the lead lasts without being renewed.
        look_around_ms: A leader looks for due schedules at least this often, even if nothing tells it to.
        identity: Random name of this boot.
    """

    lease_ms: int = DEFAULT_LEASE_MS
    look_around_ms: int = 5_000
    identity: str = field(default_factory=new_identity)

    def __post_init__(self) -> None:
        if self.lease_ms < SHORTEST_LEASE_MS:
            raise ValidationError(f"the leader's lease has to be {SHORTEST_LEASE_MS} ms at least: {self.lease_ms}")

    @property
    def renew_ms(self) -> int:
        """Time between two renewals: two may get lost before the lead does."""
        return self.lease_ms * 3 // 10

    @property
    def margin_ms(self) -> int:
        """A leader stops firing this long before its lease ends in Redis."""
        return self.lease_ms // 10
