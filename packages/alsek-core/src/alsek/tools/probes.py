"""The small HTTP server by which every service tells how it is: `/livez`, `/readyz`, `/startupz`, `/metrics`.

All services use it alike:

    from alsek.tools.exposition import Exposition
    from alsek.tools.probes import Address, Probes, ProbeServer

    probes = Probes(
        live={"loop": loop_makes_progress},       # 503: restart me. Must not fail because Redis is away.
        ready={"redis": redis_answered_lately},   # 503: send me no traffic, count me as not there.
        started={"online": everything_is_up},     # 503: still starting, be patient.
    )
    with ProbeServer(Address.parse("9100"), probes, Exposition("scheduler", my_collector)) as server:
        log.info("probes.listening", url=server.url)
        ...

A check is a callable that answers `(ok, reason)` at once, from what the service knows; it runs in a thread of the
server and never asks Redis itself, for a probe that waits is a probe that fails. The server answers 200 or 503 with
JSON that names every check. `/metrics` is 404 where no exposition was given.

A port in use is `AddressUnavailableError`, one clear line; the command line ends with code 2 then. Give port 0 for
any free one, and read `server.port`. A service that has an HTTP server of its own (the API) uses `Probes.answer` and
`Exposition.render` alone.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self

from alsek.exceptions import AddressUnavailableError, ValidationError
from alsek.logging import get_logger

if TYPE_CHECKING:
    from alsek.tools.exposition import Exposition

log = get_logger(__name__)

#: Answers at once whether all is well, and one short sentence about it.
Check = Callable[[], tuple[bool, str]]

#: A client that neither sends nor reads for so long is let go, seconds.
_PATIENCE_S: Final = 5.0

#: Names that shells and Kubernetes use for the same question.
_PATHS: Final = {"/livez": "live", "/healthz": "live", "/readyz": "ready", "/startupz": "started"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Attributes:
        port: 0 for any free one.
        host: All interfaces by default: whoever asks stands outside of the container.
    """

    port: int
    host: str = "0.0.0.0"  # noqa: S104  (probes and scrapes come from other machines)

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read `9100`, `127.0.0.1:9100` or `[::1]:9100`.

        Raises:
            ValidationError: It is something else; the text says what was expected.
        """
        given = str(text).strip()
        if given.startswith("tcp://"):
            raise ValidationError(
                f"{given!r} is no port: Kubernetes set this variable for a Service of the same name "
                "(switch that off with `enableServiceLinks: false`, or name the Service otherwise)"
            )
        host, _, port = given.rpartition(":")
        if not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise ValidationError(f"expected PORT or HOST:PORT with a port from 0 to 65535, not {given!r}")
        return cls(int(port), host.strip("[]")) if host else cls(int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Probes:
    """The checks of one service, by their names.

    Attributes:
        live: Does the service make progress? Failing means: restart it.
        ready: Can it do its work now? Failing means: wait, and do not count on it.
        started: Is it up for the first time?
    """

    live: Mapping[str, Check] = field(default_factory=dict)
    ready: Mapping[str, Check] = field(default_factory=dict)
    started: Mapping[str, Check] = field(default_factory=dict)

    def answer(self, path: str) -> tuple[int, dict[str, Any]] | None:
        """Answer a probe.

        Args:
            path: `/livez`, `/readyz` or `/startupz`.

        Returns:
            200 or 503, and the body: `{"status": "ok" | "failing", "checks": {name: {"ok": …, "reason": …}}}`;
            `None` when that is not the path of a probe.
        """
        name = _PATHS.get(path)
        if name is None:
            return None
        checks: Mapping[str, Check] = getattr(self, name)
        results = {check: _ask(check, ask) for check, ask in checks.items()}
        well = all(ok for ok, _ in results.values())
        body = {
            "status": "ok" if well else "failing",
            "checks": {check: {"ok": ok, "reason": reason} for check, (ok, reason) in results.items()},
        }
        return (200 if well else 503), body


class ProbeServer:
    """Serves probes and metrics from daemon threads; leaving the `with` block stops it.

    Args:
        address: Where to listen.
        probes: The checks.
        exposition: What `/metrics` shows; nothing by default.
    """

    def __init__(self, address: Address, probes: Probes, exposition: Exposition | None = None) -> None:
        self._address = address
        self._probes = probes
        self._exposition = exposition
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> Self:
        """Listen from now on.

        Raises:
            AddressUnavailableError: The port is in use, or the host is none of this machine.
        """
        handler = type("Handler", (_Handler,), {"probes": self._probes, "exposition": self._exposition})
        family = socket.AF_INET6 if ":" in self._address.host else socket.AF_INET
        kind = type("Server", (_Server,), {"address_family": family})
        try:
            self._server = kind((self._address.host, self._address.port), handler)
        except OSError as error:
            raise AddressUnavailableError(
                f"cannot listen at {self._address} for probes and metrics: {error.strerror or error}"
            ) from error
        Thread(target=self._server.serve_forever, name="probes", daemon=True).start()
        return self

    @property
    def port(self) -> int:
        """The port it listens at."""
        assert self._server is not None, "not started"
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where it is found, such as `http://0.0.0.0:9100`."""
        return f"http://{Address(self.port, self._address.host)}"

    def stop(self) -> None:
        """Listen no longer; a second time does nothing."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def __enter__(self) -> Self:
        return self.start() if self._server is None else self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _ask(name: str, check: Check) -> tuple[bool, str]:
    try:
        return check()
    except Exception as error:  # a check that breaks is a failing check, not a server that breaks
        log.warning("check.failed", check=name, exc_info=error)
        return False, f"the check itself failed: {type(error).__name__}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # Not HTTPServer's own: it asks the DNS for the name of this host, which may take long. A port that a former
        # process just left can be had at once; one that somebody listens at cannot.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  (the signature is theirs)
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("probe.broken_off", client=str(client_address), reason=str(error))
        else:
            log.error("probe.failed", client=str(client_address), exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    probes: Probes
    exposition: Exposition | None
    timeout = _PATIENCE_S
    server_version = "alsek"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/") or "/"
        if (answer := self.probes.answer(path)) is not None:
            status, body = answer
            self._send(status, json.dumps(body).encode() + b"\n", "application/json")
        elif path == "/metrics" and self.exposition is not None:
            text, content_type = self.exposition.render(self.headers.get("Accept", ""))
            self._send(200, text, content_type)
        else:
            self._send(404, b"there are /livez, /readyz, /startupz and /metrics\n", "text/plain")

    do_HEAD = do_GET  # noqa: N815  (as above)

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name is http.server's)
        log.debug("probe.answered", line=format % args)
