"""One table for every way in which Redis can fail: did the command run, and what to do about it.

| what came back | did it run? | class | again? |
|---|---|---|---|
| refused, LOADING, BUSY, too many clients | no | `BackendUnavailableError` | yes |
| timeout, reset, end of stream | maybe | `BackendUnavailableError(ambiguous=True)` | yes: every verb can be repeated |
| READONLY, UNBLOCKED, MASTERDOWN, MISCONF, … (`_NOT_NOW`) | no | `BackendUnavailableError` | reconnect |
| MOVED, ASK | no | `BackendUnavailableError` | yes: there (`ClusterLink`) |
| TRYAGAIN (a slot is on its way to another node) | no | `BackendUnavailableError` | yes |
| NOSCRIPT | no | (the link loads the script) | yes |
| OOM | no | `BackendFullError` | no: the caller decides |
| NOAUTH, NOPERM, WRONGPASS | no | `BackendAuthenticationError` | no |
| WRONGTYPE, any other error of a script | maybe partly | `BackendDataError` | never |
"""

from __future__ import annotations

from typing import Final, NamedTuple

from redis import exceptions as redis_errors

from alsek.exceptions import (
    AlsekError,
    BackendAuthenticationError,
    BackendDataError,
    BackendFullError,
    BackendUnavailableError,
)

#: Error codes of a server that is not the one to ask at the moment: the first write was refused, nothing ran.
_NOT_NOW: Final = frozenset({
    "LOADING", "BUSY", "READONLY", "UNBLOCKED", "MASTERDOWN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "TRYAGAIN",
    "MOVED", "ASK",
})  # fmt: skip
_TOO_MANY: Final = "max number of clients"
_NO_ACCESS: Final = frozenset({"NOAUTH", "NOPERM", "WRONGPASS"})

#: What redis-py raises by itself, without a reply.
_KINDS: Final[dict[type[Exception], str]] = {
    redis_errors.OutOfMemoryError: "OOM",
    redis_errors.BusyLoadingError: "LOADING",
    redis_errors.ReadOnlyError: "READONLY",
    redis_errors.MasterDownError: "MASTERDOWN",
    redis_errors.ClusterDownError: "CLUSTERDOWN",
    redis_errors.TryAgainError: "TRYAGAIN",
}


class Redirect(NamedTuple):
    """Where the keys of a command are.

    Attributes:
        slot: Of the cluster.
        host: Empty: the host that was asked.
        port: Of the node.
        once: Only this command: the slot is on its way there.
    """

    slot: int
    host: str
    port: int
    once: bool


def translate(error: Exception, *, sent: bool) -> AlsekError:
    """Turn an error of redis-py into ours.

    Args:
        error: What redis-py raised.
        sent: Whether the command had left when it happened: then nobody knows if it ran.
    """
    text = str(error)
    code = code_of(error)
    if isinstance(error, redis_errors.AuthenticationError) or code in _NO_ACCESS or "ACL failure in script" in text:
        return BackendAuthenticationError(f"Redis refused the credentials or the command: {text}")
    if code == "OOM":
        return BackendFullError(f"Redis is full and refused the write; nothing was stored: {text}")
    if code in _NOT_NOW or text.startswith(_TOO_MANY):
        return BackendUnavailableError(f"Redis cannot serve now: {_told(code, text)}")
    if isinstance(error, redis_errors.ResponseError):
        return BackendDataError(f"Redis answered with an error that a retry cannot mend: {text}")
    refused = isinstance(error.__cause__ or error.__context__ or error, ConnectionRefusedError) or "refused" in text
    return BackendUnavailableError(f"Redis did not answer: {text}", ambiguous=sent and not refused)


def code_of(error: Exception) -> str:
    """Give the code in front of an error reply, which redis-py takes off some of them; else the first word."""
    code = getattr(error, "status_code", None)
    if code:
        return str(code)
    return next((code for kind, code in _KINDS.items() if isinstance(error, kind)), str(error).partition(" ")[0])


def redirect_of(error: BaseException | None) -> Redirect | None:
    """Give where a command should have gone, if that is what an error reply says."""
    if not isinstance(error, redis_errors.ResponseError):
        return None
    code = code_of(error)
    if code not in ("MOVED", "ASK"):
        return None
    slot, _, address = str(error).removeprefix(f"{code} ").partition(" ")
    host, _, port = address.rpartition(":")
    return Redirect(int(slot), host.strip("[]"), int(port), code == "ASK")


def is_missing_script(error: Exception) -> bool:
    """Tell whether Redis does not know a script (it ran nothing)."""
    return isinstance(error, redis_errors.NoScriptError) or str(error).startswith("NOSCRIPT")


def _told(code: str, text: str) -> str:
    return text if text.startswith(code) else f"{code} {text}"
