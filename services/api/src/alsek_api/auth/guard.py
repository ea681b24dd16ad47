"""The guard in front of every route: who calls, whether they may, and whether they call too often."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, Request

from alsek_api.auth.keys import ANONYMOUS, Principal, Scope
from alsek_api.problems import Problem, too_many
from alsek_api.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from alsek_api.service import Service

#: Addresses watched at a time.
_MOST_WATCHED: Final = 10_000

#: Where an operation says what it asks of a key.
SCOPE: Final = "x-alsek-scope"


class Failures:
    """Wrong tokens by address: who tries many is told to wait; a right one from the same address is never held up.

    Args:
        most: Of one address in a minute.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._minute = 0
        self._counts: dict[str, int] = {}

    def check(self, address: str) -> None:
        """Refuse an address that showed too many wrong tokens in this minute.

        Raises:
            Problem: 429.
        """
        self._turn()
        if self._counts.get(address, 0) >= self._most:
            raise too_many("Too many wrong keys from this address.", 60 - time.time() % 60)

    def note(self, address: str) -> None:
        """Count one wrong token."""
        self._turn()
        if address in self._counts or len(self._counts) < _MOST_WATCHED:
            self._counts[address] = self._counts.get(address, 0) + 1

    def _turn(self) -> None:
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()


def needs(scope: Scope) -> dict[str, Any]:
    """Give what makes a route ask for a scope: `@router.get("/v1/things", **needs("read"))`."""
    return {
        "dependencies": [Depends(_GUARDS[scope])],
        "openapi_extra": {SCOPE: scope, "security": [{"key": [scope]}]},
    }


def service_of(request: Request) -> Service:
    """Give the service that a request came to."""
    service: Service = request.app.state.service
    return service


def caller(request: Request) -> Principal:
    """Give who calls; the guard has let them in."""
    principal: Principal = request.scope["state"]["principal"]
    return principal


def note(request: Request, **facts: Any) -> None:
    """Add to the line of the audit log what a request changes: ids and names, never arguments."""
    request.scope["state"].setdefault("facts", {}).update(facts)


async def identify(request: Request) -> Principal:
    """Find out who calls by the Authorization header.

    Raises:
        Problem: 401, with what is missing; 403 for a browser that was led here under a foreign name; 429.
        BackendUnavailableError: Redis cannot be asked, so nobody is let in.
    """
    service = service_of(request)
    header = request.headers.get("authorization")
    if header is None:
        if not await service.ring.is_open():
            raise _unauthorized("This needs a key: Authorization: Bearer ak_...")
        # No key, so no secret: a page that a browser shows must not reach us by a name of its own (DNS rebinding).
        if not service.settings.insecure_no_auth and not is_loopback(_host_of(request)):
            raise Problem(403, "Without keys this answers to the names of this machine only.", kind="foreign-host")
        return ANONYMOUS
    address = request.client.host if request.client is not None else ""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise _unauthorized("Authorization has to be: Bearer ak_...")
    principal = await service.ring.find(token.strip())
    if principal is None:
        service.failures.check(address)
        service.failures.note(address)
        raise _unauthorized("This key is wrong, expired or revoked.")
    return principal


async def admit(request: Request, principal: Principal, scope: Scope) -> None:
    """Let a known caller in, or say why not.

    Raises:
        Problem: 403 for a scope that the key has not, 429 for a key that is used too often.
    """
    state = request.scope["state"]
    state["principal"] = principal
    if not principal.may(scope):
        raise Problem(403, f"This key has not the scope {scope!r}.", kind="forbidden", needs=scope)
    if principal.rate is not None:
        state["budget"] = await service_of(request).budgets.spend_request(principal)


def _guard(scope: Scope) -> Callable[[Request], Awaitable[None]]:
    async def guard(request: Request) -> None:
        await admit(request, await identify(request), scope)

    return guard


def _host_of(request: Request) -> str:
    host = request.headers.get("host", "")
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.rpartition(":")[0] or host


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, kind="unauthorized", headers={"WWW-Authenticate": 'Bearer realm="alsek"'})


_GUARDS: Final[dict[Scope, Callable[[Request], Awaitable[None]]]] = {
    scope: _guard(scope) for scope in ("read", "enqueue", "operate", "admin")
}
