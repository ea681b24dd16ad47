"""API keys as values: what they allow, how they look on the wire, and what is kept of them (never the secret)."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, get_args

import msgspec

from alsek.core.rules import check_name
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

Scope = Literal["read", "enqueue", "operate", "admin"]

#: What a key can be good for. `admin` includes the others; none of the others includes another.
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

#: `ak_<id>_<secret>`: 48 random bits name the key, 256 prove it.
_TOKEN: Final = re.compile(r"ak_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")

#: More requests a second than one process of this service can answer.
MOST_A_SECOND: Final = 100_000


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is stored of a key.

    Attributes:
        id: Names it; no secret.
        digest: SHA-256 of the whole token, in hex.
        name: For people.
        scopes: What it is good for.
        queues: Only these (a name, or a beginning with `*`); none: all.
        tasks: Only these; none: all.
        created_at: ms since the epoch.
        expires_at: ms since the epoch; `None`: never.
        rate: Requests a second; `None`: any number.
        quota: Messages a day (UTC); `None`: any number.
        streams: Event streams at a time; `None`: as the service says.
    """

    id: str
    digest: str
    name: str
    scopes: tuple[str, ...]
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    created_at: int = 0
    expires_at: int | None = None
    rate: int | None = None
    quota: int | None = None
    streams: int | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, for the length of a request.

    Attributes:
        id: Of the key; `anonymous` where no key is needed.
        name: Of the key.
        scopes: What it is good for.
        queues: Only these; none: all.
        tasks: Only these; none: all.
        rate: Requests a second.
        quota: Messages a day.
        streams: Event streams at a time.
    """

    id: str
    name: str
    scopes: frozenset[str]
    queues: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    rate: int | None = None
    quota: int | None = None
    streams: int | None = None

    def may(self, scope: Scope) -> bool:
        """Tell whether the key is good for something."""
        return scope in self.scopes or "admin" in self.scopes

    def sees(self, queue: str, task: str = "") -> bool:
        """Tell whether a queue, and a task in it, is among those that the key is limited to."""
        return _among(queue, self.queues) and (not task or _among(task, self.tasks))

    @property
    def is_limited(self) -> bool:
        """Whether there are queues or tasks that the key does not see."""
        return bool(self.queues or self.tasks)


#: Who calls where no key is needed.
ANONYMOUS: Final = Principal("anonymous", "anonymous", frozenset(SCOPES))


def principal_of(record: KeyRecord) -> Principal:
    """Give what a stored key stands for."""
    return Principal(
        record.id, record.name, frozenset(record.scopes), record.queues, record.tasks, record.rate, record.quota,
        record.streams,
    )  # fmt: skip


def make_key(
    name: str,
    scopes: Iterable[str],
    *,
    queues: Iterable[str] = (),
    tasks: Iterable[str] = (),
    expires_in_ms: int | None = None,
    rate: int | None = None,
    quota: int | None = None,
    streams: int | None = None,
    token: str | None = None,
) -> tuple[str, KeyRecord]:
    """Make a key.

    Args:
        name: For people; need not be unique.
        scopes: Of `SCOPES`, at least one.
        queues: Limit it to these: a name, or a beginning with `*`.
        tasks: Limit it to these.
        expires_in_ms: How long it is good.
        rate: Requests a second.
        quota: Messages a day.
        streams: Event streams at a time.
        token: One that was made elsewhere, in the same form; a new one by default.

    Returns:
        The token, which is told this once, and what is stored.

    Raises:
        ValidationError: One of these makes no sense.
    """
    wanted = tuple(dict.fromkeys(scopes))
    unknown = [scope for scope in wanted if scope not in SCOPES]
    if unknown or not wanted:
        raise ValidationError(f"a key needs scopes, of {', '.join(SCOPES)}: {', '.join(unknown) or 'none given'}")
    if not 0 < len(name) <= 100 or not name.isprintable():
        raise ValidationError(f"the name of a key has 1 to 100 printable characters: {name!r}")
    for what, number in (("expiry", expires_in_ms), ("rate", rate), ("quota", quota), ("number of streams", streams)):
        if number is not None and number < 1:
            raise ValidationError(f"the {what} has to be 1 or more: {number}")
    if rate is not None and rate > MOST_A_SECOND:
        raise ValidationError(f"the rate has to be at most {MOST_A_SECOND:,} a second: {rate}")
    now = time.time_ns() // 1_000_000
    token = f"ak_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}" if token is None else token
    key_id = id_in(token)
    if key_id is None:
        raise ValidationError("a token is ak_, 12 hex digits, _ and 43 letters, digits, dashes or underscores")
    record = KeyRecord(
        id=key_id,
        digest=digest_of(token),
        name=name,
        scopes=wanted,
        queues=tuple(_pattern(queue, "queue") for queue in queues),
        tasks=tuple(_pattern(task, "task name") for task in tasks),
        created_at=now,
        expires_at=None if expires_in_ms is None else now + expires_in_ms,
        rate=rate,
        quota=quota,
        streams=streams,
    )
    return token, record


def id_in(token: str) -> str | None:
    """Give the id in a token; `None` when it has not the form of one."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else match[1]


def digest_of(token: str) -> str:
    """Give what is kept of a token. A plain hash is enough: nobody guesses 256 random bits."""
    return sha256(token.encode()).hexdigest()


def _pattern(text: str, what: str) -> str:
    check_name(text.removesuffix("*") or "_", what)
    return text


def _among(name: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(
        name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for pattern in patterns
    )
