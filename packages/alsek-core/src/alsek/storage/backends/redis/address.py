"""Which Redis: the text of an address, completed by the environment, turned into plain settings."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode

from redis.connection import parse_url

#: Names the Redis of a program that names none.
URL_ENV_VAR: Final = "ALSEK_REDIS_URL"

DEFAULT_URL: Final = "redis://localhost:6379/0"

#: What an address may leave to the environment: option of the address → variable.
ENV_VARS: Final = {
    "username": "ALSEK_REDIS_USERNAME",
    "password": "ALSEK_REDIS_PASSWORD",
    "password_file": "ALSEK_REDIS_PASSWORD_FILE",
    "ca_file": "ALSEK_REDIS_CA_FILE",
    "cert_file": "ALSEK_REDIS_CERT_FILE",
    "key_file": "ALSEK_REDIS_KEY_FILE",
    "sentinel_username": "ALSEK_REDIS_SENTINEL_USERNAME",
    "sentinel_password": "ALSEK_REDIS_SENTINEL_PASSWORD",
    "sentinel_password_file": "ALSEK_REDIS_SENTINEL_PASSWORD_FILE",
}

#: Files of TLS: what we call them, what redis-py does.
_TLS_FILES: Final = {"ca_file": "ssl_ca_certs", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}

_FORMS: Final = (
    "redis://[[user]:password@]host[:port][/db], rediss://… (TLS), unix:///path[?db=n], "
    "redis+sentinel://[[user]:password@]host[:port],…/name[?db=n] or redis+cluster://[[user]:password@]host[:port],… "
    "(rediss+… for TLS)"
)
_PORTS: Final = {"single": 6379, "sentinel": 26379, "cluster": 6379}

Kind = Literal["single", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class Target:
    """What an address says.

    Attributes:
        kind: Of the installation.
        nodes: Host and port of the server, of the Sentinels, or of nodes of the cluster; none for a unix socket.
        name: Of the primary, as the Sentinels know it.
        tls: Whether connections are encrypted.
        options: Settings of the connections, as redis-py names them; and `password_file`.
        sentinel_options: The same of connections to the Sentinels.
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...] = ()
    name: str = ""
    tls: bool = False
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)


def default_url() -> str:
    """Give the address for programs that name none."""
    return os.environ.get(URL_ENV_VAR) or DEFAULT_URL


def redacted(url: str) -> str:
    """Give an address that may be shown: without its password, and without its options."""
    url = url.partition("?")[0]
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, credentials = head.rpartition("://")
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon and ':***'}@{tail}"


def read_address(url: str) -> Target:
    """Read an address, and complete it from the environment; nothing is connected.

    Raises:
        ValueError: It is none, or names a file that cannot be read. The text shows no password.
    """
    scheme, _, rest = url.partition("://")
    security, _, family = scheme.partition("+")
    if scheme != "unix" and (security not in ("redis", "rediss") or family not in ("", "sentinel", "cluster")):
        raise _no_address(url, "is no address of a Redis")
    tls = security == "rediss"
    head, _, query = rest.partition("?")
    credentials, _, place = head.rpartition("@")
    asked = dict(parse_qsl(query, keep_blank_values=True))
    options = _credentials(credentials) | _redis_options(url, security, asked)
    if scheme == "unix":
        _complete(url, options, asked, tls=False)
        return Target("single", options=options | {"path": unquote(place)})
    if "/" in credentials:
        raise _no_address(url, "is no address of a Redis (a slash in a password is written %2F)")
    kind: Kind = family or "single"  # type: ignore[assignment]  # one of the three, as was looked at
    hosts, _, path = place.partition("/")
    path = unquote(path.strip("/"))
    nodes = tuple(_node(url, text, _PORTS[kind]) for text in hosts.split(","))
    sentinel_options = _complete(url, options, asked, tls=tls)
    if kind == "sentinel":
        if not path:
            raise _no_address(url, "lacks the name by which the Sentinels know the primary")
        return Target(kind, nodes, path, tls, options, sentinel_options)
    if path and not path.isdigit():
        raise ValueError(f"the database in {redacted(url)!r} is no number; an address looks like {_FORMS}")
    if kind == "cluster":
        if int(path or 0) or options.pop("db", 0):
            raise ValueError(f"a cluster has only the database 0: {redacted(url)!r}")
        return Target(kind, nodes, "", tls, options)
    if len(nodes) > 1:
        raise _no_address(url, "names several hosts, as only redis+sentinel:// and redis+cluster:// do")
    options |= {"host": nodes[0][0], "port": nodes[0][1], "db": options.get("db", int(path or 0))}
    return Target(kind, nodes, "", tls, options)


def read_secret(path: str, what: str = "password") -> str:
    """Give what a file of one secret holds.

    Raises:
        ValueError: It cannot be read, or is empty.
    """
    try:
        secret = Path(path).read_text().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"the {what} file {path!r} cannot be read: {reason}") from None
    if not secret:
        raise ValueError(f"the {what} file {path!r} is empty")
    return secret


def _credentials(text: str) -> dict[str, Any]:
    user, _, password = text.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in named.items() if value}


def _redis_options(url: str, security: str, asked: dict[str, str]) -> dict[str, Any]:
    # What is not ours is read as redis-py reads it.
    theirs = {name: value for name, value in asked.items() if name not in ENV_VARS}
    try:
        options: dict[str, Any] = parse_url(  # type: ignore[no-untyped-call]
            f"{security}://localhost?{urlencode(theirs, quote_via=quote)}"
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"the options of {redacted(url)!r} cannot be used: {error}") from None
    for name in ("host", "path", "connection_class"):
        options.pop(name, None)
    return options


def _node(url: str, text: str, usual_port: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # no port; or an IPv6 address, which has colons of its own
        host, port = text, str(usual_port)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536 or host.count("[") != host.count("]"):
        raise _no_address(url, "is no address of a Redis")
    return unquote(host.strip("[]")) or "localhost", int(port)


def _complete(url: str, options: dict[str, Any], asked: dict[str, str], *, tls: bool) -> dict[str, Any]:
    """Add to the options what our own names say, in the address or in the environment; give those of Sentinels."""
    settings = {name: asked.get(name) or os.environ.get(variable) for name, variable in ENV_VARS.items()}
    if options.get("username") is None and settings["username"]:
        options["username"] = settings["username"]
    if "password" not in options:
        options |= _secret(settings, asked, "")
    files = {theirs: settings[ours] for ours, theirs in _TLS_FILES.items() if settings[ours]}
    if tls:
        for path in files.values():
            _check_readable(str(path))
        options |= {name: path for name, path in files.items() if name not in options}
    elif asked.keys() & _TLS_FILES:
        raise ValueError(f"certificates belong to TLS, which {redacted(url)!r} does not ask for: rediss://…")
    sentinel = {name: value for name, value in options.items() if name.startswith("ssl_")} | {"ssl": tls}
    if settings["sentinel_username"]:
        sentinel["username"] = settings["sentinel_username"]
    return sentinel | _secret(settings, asked, "sentinel_")


def _secret(settings: dict[str, str | None], asked: dict[str, str], prefix: str) -> dict[str, Any]:
    # What stands in the address wins over the environment; of one place, the file.
    password, path = settings[f"{prefix}password"], settings[f"{prefix}password_file"]
    if path and not (asked.get(f"{prefix}password") and not asked.get(f"{prefix}password_file")):
        read_secret(path)
        return {"password_file": path}
    return {"password": password} if password else {}


def _check_readable(path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"the certificate file {path!r} cannot be read: {error.strerror}") from None


def _no_address(url: str, why: str) -> ValueError:
    return ValueError(f"{redacted(url)!r} {why}; it looks like {_FORMS}")
