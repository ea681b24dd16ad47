"""Tells whose a token is, without asking Redis at every request, and at most seconds after a key was revoked."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from alsek.exceptions import BackendError
from alsek.logging import get_logger
from alsek_api.auth.keys import ANONYMOUS, KeyRecord, Principal, digest_of, id_in, principal_of
from alsek_api.auth.store import open_record

if TYPE_CHECKING:
    from alsek.core.broker import Broker
    from alsek_api.settings import ApiSettings

log = get_logger("alsek.api")

#: Seconds for which what Redis said of a key holds: how long a revoked key may still pass.
_FRESH_S: Final = 3.0

#: Keys remembered, known and unknown ones; somebody who tries many pushes only other unknown ones out.
_MOST_KNOWN: Final = 4_096

#: The use of a key is noted this often, seconds.
_NOTE_S: Final = 60.0

#: Compared with where there is no such key, so that it takes as long.
_NOBODY: Final = "0" * 64


class KeyRing:
    """The keys as a running service knows them; lives on its event loop.

    Args:
        broker: Of the namespace.
        settings: Whether and where keys are needed.
    """

    def __init__(self, broker: Broker, settings: ApiSettings) -> None:
        self._backend = broker.redis
        self._settings = settings
        self._known: OrderedDict[str, tuple[float, KeyRecord | None]] = OrderedDict()
        self._noted: dict[str, float] = {}
        self._any: tuple[float, bool] = (0.0, True)

    async def is_open(self) -> bool:
        """Tell whether everybody who can connect may do everything: asked for, or no key and only this machine."""
        if self._settings.insecure_no_auth:
            return True
        return self._settings.on_loopback and not await self.has_keys()

    async def has_keys(self) -> bool:
        """Tell whether any key exists."""
        now = time.monotonic()
        if self._any[0] < now:
            count = await self._backend.async_link.command("SCARD", self._backend.keys.api("keys"))
            self._any = (now + _FRESH_S, bool(count))
        return self._any[1]

    async def find(self, token: str) -> Principal | None:
        """Give whose a token is; `None`: nobody's, or no longer.

        Raises:
            BackendUnavailableError: Redis cannot be asked.
        """
        key_id = id_in(token)
        record = await self._record(key_id) if key_id is not None else None
        right = hmac.compare_digest(digest_of(token), record.digest if record is not None else _NOBODY)
        if record is None or not right or _is_over(record):
            return None
        await self._note(record.id)
        return principal_of(record)

    async def find_id(self, key_id: str) -> Principal | None:
        """Give whom an id stands for, for callers that have proved themselves before (a signed cookie).

        Raises:
            BackendUnavailableError: Redis cannot be asked.
        """
        if key_id == ANONYMOUS.id:
            return ANONYMOUS if await self.is_open() else None
        record = await self._record(key_id) if key_id.isalnum() else None
        return None if record is None or _is_over(record) else principal_of(record)

    def forget(self, key_id: str) -> None:
        """Ask again at the next request: the key has changed."""
        self._known.pop(key_id, None)
        self._any = (0.0, True)

    async def _record(self, key_id: str) -> KeyRecord | None:
        now = time.monotonic()
        held = self._known.get(key_id)
        if held is not None and held[0] >= now:
            return held[1]
        stored = await self._backend.async_link.command("GET", self._backend.keys.api(f"key:{key_id}"))
        record = open_record(stored)
        self._known[key_id] = (now + _FRESH_S, record)
        self._known.move_to_end(key_id)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return record

    async def _note(self, key_id: str) -> None:
        now = time.monotonic()
        if self._noted.get(key_id, -_NOTE_S) + _NOTE_S > now:
            return
        self._noted[key_id] = now
        stamp = time.time_ns() // 1_000_000
        try:
            await self._backend.async_link.command("HSET", self._backend.keys.api("used"), key_id, stamp)
        except BackendError as error:  # a full Redis must not keep those out who come to empty it
            log.warning("api_key.not_noted", key=key_id, error=str(error))


def _is_over(record: KeyRecord) -> bool:
    return record.expires_at is not None and time.time_ns() // 1_000_000 >= record.expires_at
