"""Where keys are kept: small records in Redis, the same for every service of a namespace."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from alsek.exceptions import ValidationError
from alsek_api.auth.keys import KeyRecord, id_in

if TYPE_CHECKING:
    from alsek.storage.backends.redis import RedisBackend

#: Of the secret that signs cookies, in bytes: as long as the hash that signs.
_SECRET_BYTES: Final = 32


class KeyStore:
    """The keys of one namespace, for callers that may block; a running service asks through `KeyRing`.

    Args:
        backend: Where they are kept.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend

    def add(self, record: KeyRecord) -> None:
        """Keep a key."""
        keys = self._backend.keys
        self._command("SET", keys.api(f"key:{record.id}"), msgspec.json.encode(record))
        self._command("SADD", keys.api("keys"), record.id)

    def all(self) -> list[tuple[KeyRecord, int | None]]:
        """Give all keys, the oldest first, each with the time of its last use (ms since the epoch)."""
        keys = self._backend.keys
        ids = sorted(raw.decode() for raw in self._command("SMEMBERS", keys.api("keys")))
        if not ids:
            return []
        records = [open_record(raw) for raw in self._command("MGET", *(keys.api(f"key:{key_id}") for key_id in ids))]
        used = self._command("HMGET", keys.api("used"), *ids)
        found = [(record, int(at) if at else None) for record, at in zip(records, used, strict=True) if record]
        return sorted(found, key=lambda one: one[0].created_at)

    def revoke(self, key: str) -> KeyRecord:
        """End a key: every service refuses it within seconds.

        Args:
            key: Its id, or the whole token.

        Raises:
            ValidationError: There is none.
        """
        key_id = id_in(key) or key
        keys = self._backend.keys
        record = open_record(self._command("GET", keys.api(f"key:{key_id}"))) if key_id.isalnum() else None
        if record is None:
            raise ValidationError(f"there is no key {key_id[:40]!r}: `alsek api keys list` shows them")
        self._command("DEL", keys.api(f"key:{key_id}"))
        self._command("SREM", keys.api("keys"), key_id)
        self._command("HDEL", keys.api("used"), key_id)
        return record

    def signing_secret(self) -> bytes:
        """Give the secret that signs the cookies of all services of this namespace; made at the first call."""
        name = self._backend.keys.api("secret")
        self._command("SET", name, secrets.token_bytes(_SECRET_BYTES).hex(), "NX")
        return bytes.fromhex(self._command("GET", name).decode())

    def _command(self, *args: str | bytes) -> Any:
        return self._backend.links.command(*args)


def open_record(stored: bytes | None) -> KeyRecord | None:
    """Give a key as it was stored; `None` when there is none, or what is there is none."""
    if stored is None:
        return None
    try:
        return msgspec.json.decode(stored, type=KeyRecord)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
