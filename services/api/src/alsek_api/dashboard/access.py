"""Who looks at a page, and whether what a form asks for is really their wish.

A key is shown once, at the log-in; then a signed cookie names its id, and every request asks anew whether that key
still stands. What changes something needs three things besides: a page of ours sent it (Sec-Fetch-Site, Origin), it
carries the token of this session, and the key has the scope.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from alsek_api.auth.guard import admit, identify, note, service_of
from alsek_api.auth.keys import ANONYMOUS, Principal, Scope
from alsek_api.dashboard.form import Form, read_form
from alsek_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.responses import Response

    from alsek_api.service import Service

COOKIE: Final = "alsek_session"
FLASH: Final = "alsek_flash"

#: How long a session lasts, seconds: a working day. The key may end sooner.
SESSION_S: Final = 12 * 3600

#: How long a note waits for the page that shows it, seconds.
FLASH_S: Final = 60


class LogInNeeded(Exception):
    """Nobody is logged in here, or no longer; the page leads to the log-in."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie says.

    Attributes:
        key_id: Of the key that was shown.
        nonce: Of this session, from which its form token follows.
    """

    key_id: str
    nonce: str


class Sessions:
    """Signs and opens the cookies of one service.

    Args:
        secret: The same for all services of a namespace, so that any of them may answer the next request.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._cookies = URLSafeTimedSerializer(secret, salt="alsek.session", signer_kwargs=_SIGNER)
        self._notes = URLSafeTimedSerializer(secret, salt="alsek.flash", signer_kwargs=_SIGNER)

    def begin(self, key_id: str) -> Session:
        """Begin a session for a key."""
        return Session(key_id, secrets.token_urlsafe(18))

    def open(self, cookie: str | None) -> Session | None:
        """Give the session of a cookie; `None`: it is none of ours, or too old."""
        if not cookie or len(cookie) > 500:
            return None
        try:
            key_id, nonce = self._cookies.loads(cookie, max_age=SESSION_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return Session(str(key_id), str(nonce))

    def token(self, session: Session) -> str:
        """Give what every form of a session carries."""
        return hmac.new(self._secret, f"form:{session.key_id}:{session.nonce}".encode(), sha256).hexdigest()

    def keep(self, response: Response, session: Session, *, secure: bool) -> None:
        """Hand a session to the browser."""
        value = str(self._cookies.dumps([session.key_id, session.nonce]))
        response.set_cookie(COOKIE, value, max_age=SESSION_S, path="/", secure=secure, httponly=True, samesite="strict")

    def note(self, response: Response, kind: str, text: str, *, secure: bool) -> None:
        """Have the next page say something."""
        value = str(self._notes.dumps([kind, text[:600]]))
        response.set_cookie(FLASH, value, max_age=FLASH_S, path="/", secure=secure, httponly=True, samesite="strict")

    def noted(self, cookie: str | None) -> tuple[str, str] | None:
        """Give what a page has to say: its kind and its text."""
        if not cookie or len(cookie) > 4_000:
            return None
        try:
            kind, text = self._notes.loads(cookie, max_age=FLASH_S)
        except (BadSignature, ValueError, TypeError):
            return None
        return str(kind), str(text)


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page.

    Attributes:
        principal: Their key.
        session: Their session.
        token: For their forms.
        is_new: The session began with this request, and the browser has to be told.
    """

    principal: Principal
    session: Session
    token: str
    is_new: bool = False

    def may(self, scope: Scope) -> bool:
        """Tell whether the key is good for something."""
        return self.principal.may(scope)

    @property
    def is_anonymous(self) -> bool:
        """Whether no key is needed here."""
        return self.principal.id == ANONYMOUS.id


async def sessions_of(request: Request) -> Sessions:
    """Give the sessions of the service, whose secret is fetched when the first page is asked for."""
    state = request.app.state
    found: Sessions | None = getattr(state, "sessions", None)
    if found is None:
        service = service_of(request)
        found = state.sessions = Sessions(await service.ask(service.keys.signing_secret))
    return found


async def viewer(request: Request) -> Viewer:
    """Find out who looks.

    Raises:
        LogInNeeded: Nobody that we know.
        Problem: 403: the key may not even look; 429: it is used too often.
    """
    sessions = await sessions_of(request)
    session = sessions.open(request.cookies.get(COOKIE))
    is_new = False
    if session is None or session.key_id == ANONYMOUS.id:
        principal = await _without_key(request)
        if session is None:
            session, is_new = sessions.begin(ANONYMOUS.id), True
    else:
        known = await service_of(request).ring.find_id(session.key_id)
        if known is None:
            raise LogInNeeded
        principal = known
    await admit(request, principal, "read")
    found = Viewer(principal, session, sessions.token(session), is_new)
    request.scope["state"]["viewer"] = found
    return found


async def _without_key(request: Request) -> Principal:
    if "authorization" in request.headers:  # pages are for browsers; whoever holds a key in hand has the API
        raise LogInNeeded
    try:
        return await identify(request)
    except Problem as problem:
        if problem.status_code == 401:
            raise LogInNeeded from None
        raise


def check_origin(request: Request) -> None:
    """Refuse what a page of somebody else sent.

    Raises:
        Problem: 403.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if site not in ("same-origin", "none") or foreign:
        raise Problem(403, "This form came from another site. Nothing was done.", kind="foreign-origin")


def is_secure(request: Request) -> bool:
    """Tell whether the browser may be asked to send cookies by TLS alone."""
    return request.url.scheme == "https"


@dataclass(frozen=True, slots=True)
class Deed:
    """A form that may be carried out.

    Attributes:
        viewer: Who sent it.
        form: What it says.
        request: How it came.
        service: What carries it out.
    """

    viewer: Viewer
    form: Form
    request: Request
    service: Service

    @property
    def principal(self) -> Principal:
        """The key of whoever sent it."""
        return self.viewer.principal

    def back(self, fallback: str) -> str:
        """Give the path of the page that the form stood on."""
        return self.form.text("back", 2_000) or fallback

    def tell(self, **facts: Any) -> None:
        """Have the line of the audit log say what was changed: ids and names, never arguments."""
        note(self.request, **{name: value for name, value in facts.items() if value not in ("", None)})


def doing(scope: Scope) -> Any:
    """Give the parameter of a route that changes something, as in `deed: Annotated[Deed, ...]`."""
    return Depends(_CHECKS[scope])


def _check(scope: Scope) -> Callable[..., Awaitable[Deed]]:
    async def check(request: Request, who: Annotated[Viewer, Depends(viewer)]) -> Deed:
        check_origin(request)
        if not who.may(scope):
            raise Problem(
                403, f"This key has not the scope {scope!r}. Nothing was done.", kind="forbidden", needs=scope
            )
        form = await read_form(request)
        if not hmac.compare_digest(form.pop("token", "").encode(), who.token.encode()):
            raise Problem(403, "This form is not of your session, or too old. Nothing was done: open the page again.",
                          kind="foreign-form")  # fmt: skip
        return Deed(who, form, request, service_of(request))

    return check


_SIGNER: Final[dict[str, Any]] = {"digest_method": sha256, "key_derivation": "hmac"}
_CHECKS: Final[dict[Scope, Callable[..., Awaitable[Deed]]]] = {
    scope: _check(scope) for scope in ("read", "enqueue", "operate", "admin")
}
