"""One table for every way in which Redis can fail: did the command run, and what to do about it.

| what came back | did it run? | class | again? |
|---|---|---|---|
| refused, LOADING, BUSY, too many clients | no | `BackendUnavailableError` | yes |
| timeout, reset, end of stream | maybe | `BackendUnavailableError(ambiguous=True)` | yes: every verb can be repeated |
| READONLY, MASTERDOWN, NOREPLICAS, MISCONF, CLUSTERDOWN, … (`_NOT_NOW`) | no | `BackendUnavailableError` | reconnect |
| NOSCRIPT | no | (the link loads the script) | yes |
| OOM | no | `BackendFullError` | no: the caller decides |
| NOAUTH, NOPERM, WRONGPASS | no | `BackendAuthenticationError` | no |
| WRONGTYPE, any other error of a script | maybe partly | `BackendDataError` | never |
"""

from __future__ import annotations

from typing import Final

from redis import exceptions as redis_errors

from alsek.exceptions import (
    AlsekError,
    BackendAuthenticationError,
    BackendDataError,
    BackendFullError,
    BackendUnavailableError,
)

#: Error codes of a server that cannot write at the moment: the first write was refused, nothing ran.
_NOT_NOW: Final = (
    "LOADING", "BUSY", "READONLY", "MASTERDOWN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED",
    "max number of clients",
)  # fmt: skip
_NO_ACCESS: Final = ("NOAUTH", "NOPERM", "WRONGPASS")


def translate(error: Exception, *, sent: bool) -> AlsekError:
    """Turn an error of redis-py into ours.

    Args:
        error: What redis-py raised.
        sent: Whether the command had left when it happened: then nobody knows if it ran.
    """
    text = str(error)
    if isinstance(error, redis_errors.AuthenticationError) or any(code in text for code in _NO_ACCESS):
        return BackendAuthenticationError(f"Redis refused the credentials or the command: {text}")
    if isinstance(error, redis_errors.OutOfMemoryError) or text.startswith("OOM"):
        return BackendFullError(f"Redis is full and refused the write; nothing was stored: {text}")
    if isinstance(error, redis_errors.ResponseError | redis_errors.BusyLoadingError | redis_errors.ReadOnlyError):
        if isinstance(error, redis_errors.BusyLoadingError | redis_errors.ReadOnlyError) or text.startswith(_NOT_NOW):
            return BackendUnavailableError(f"Redis cannot serve now: {text}")
        return BackendDataError(f"Redis answered with an error that a retry cannot mend: {text}")
    if text.startswith(_NOT_NOW):
        return BackendUnavailableError(f"Redis cannot serve now: {text}")
    refused = isinstance(error.__cause__ or error.__context__ or error, ConnectionRefusedError) or "refused" in text
    return BackendUnavailableError(f"Redis did not answer: {text}", ambiguous=sent and not refused)


def is_missing_script(error: Exception) -> bool:
    """Tell whether Redis does not know a script (it ran nothing)."""
    return isinstance(error, redis_errors.NoScriptError) or str(error).startswith("NOSCRIPT")
