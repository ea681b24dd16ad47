"""What the service is told when it starts; every number with its unit and its reason."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal

from alsek.defaults import DEFAULT_NAMESPACE, DEFAULT_TTL
from alsek.exceptions import ValidationError

#: 8000 is what a developer expects of an HTTP service on a machine of one's own.
DEFAULT_PORT: Final = 8000

ArgumentCheck = Literal["off", "warn", "enforce"]


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of one service.

    Attributes:
        url: Which Redis; `None`: ALSEK_REDIS_URL, else the local one.
        namespace: Of the backend.
        partitions: Of the backend.
        host: Where to listen. Anything but a loopback address needs a key, or `insecure_no_auth`.
        port: Where to listen; 0: a free one.
        any_port: Where the port is taken, listen on a free one.
        insecure_no_auth: Serve everybody who can connect.
        check_arguments: Against the schemas that workers published: not at all, with a warning in the answer, or
            refusing a wrong call.
        kept_status_ms: How long an ended message is remembered.
        max_body_bytes: Largest body of a request.
        max_batch_bytes: Largest body of a bulk request.
        max_depth: Deepest nesting of a JSON body: no program nests deeper by intention, and parsers recurse.
        read_timeout_s: What a client gets to send its headers, and then its body.
        max_connections: Connections at a time; more are closed at once.
        max_wrong_keys: Wrong keys that one address may show a minute before it is told to wait.
        max_streams: Event streams and long polls at a time, of all keys together.
        max_streams_per_key: Of one key, unless the key says otherwise.
        stream_lifetime_s: Then a stream ends, and its client comes back with `Last-Event-ID`: so load spreads again.
        heartbeat_s: Silence in a stream after which a comment is sent: below what proxies allow.
        send_timeout_s: A client that reads nothing for so long is dropped.
        drain_timeout_s: What running requests get to finish after SIGTERM.
        open_metrics: Serve /metrics without a key.
        cors_origins: Exact origins that browsers may call from.
        log_format: Lines for people, or JSON for machines.
        log_level: Least level that is shown.
    """

    url: str | None = None
    namespace: str = DEFAULT_NAMESPACE
    partitions: int = 1
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    any_port: bool = False
    insecure_no_auth: bool = False
    check_arguments: ArgumentCheck = "warn"
    kept_status_ms: int = DEFAULT_TTL
    max_body_bytes: int = 1_310_720
    max_batch_bytes: int = 33_554_432
    max_depth: int = 100
    read_timeout_s: float = 10.0
    max_connections: int = 4_000
    max_wrong_keys: int = 60
    max_streams: int = 2_000
    max_streams_per_key: int = 1_000
    stream_lifetime_s: float = 300.0
    heartbeat_s: float = 15.0
    send_timeout_s: float = 30.0
    drain_timeout_s: float = 15.0
    open_metrics: bool = False
    cors_origins: tuple[str, ...] = ()
    log_format: Literal["console", "json"] = "json"
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if "*" in self.cors_origins:
            raise ValidationError("name the origins that may call from a browser, one by one: '*' would admit any page")

    @property
    def on_loopback(self) -> bool:
        """Whether only programs of this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Tell whether a host, as it is listened on or named in a request, is this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
