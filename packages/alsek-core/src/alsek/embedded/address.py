"""Where a server is, or should be: the part of a Redis URL that concerns the server."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import quote, unquote, urlsplit

from alsek.exceptions import BackendUnavailableError, ValidationError


@dataclass(frozen=True, slots=True)
class Address:
    """What a server has to know of the URL that clients use."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    database: int = 0
    scheme: str = "redis"

    @classmethod
    def of(cls, url: str) -> Self:
        """Read a URL.

        Raises:
            ValidationError: It is no URL of a Redis server.
        """
        try:
            parts = urlsplit(url)
            port = parts.port if parts.port is not None else 6379
            database = int(parts.path.strip("/") or 0)
        except ValueError as error:
            raise ValidationError(f"{url!r} is not the URL of a Redis server: {error}") from error
        if parts.scheme not in ("redis", "rediss"):
            raise ValidationError(f"{url!r} is not the URL of a Redis server, such as redis://localhost:6379/0")
        host, user, password = parts.hostname or "localhost", parts.username, parts.password
        return cls(host, port, user and unquote(user), password and unquote(password), database, parts.scheme)

    @property
    def is_local(self) -> bool:
        """Whether a server of ours could answer there."""
        return self.scheme == "redis" and (self.host in ("localhost", "::1") or self.host.startswith("127."))

    @property
    def url(self) -> str:
        """The address without secrets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/{self.database}"

    @property
    def secret_url(self) -> str:
        """The address with user and password, for clients."""
        secret = f"{quote(self.username or '', safe='')}:{quote(self.password, safe='')}@" if self.password else ""
        return self.url.replace("://", f"://{secret}", 1)

    def on_free_port(self) -> Self:
        """Give the same address with a port that nobody uses.

        Raises:
            BackendUnavailableError: There is none.
        """
        # Below the range that the kernel gives to clients: one that dials such a port before the server has it can end
        # up connected to itself.
        for port in random.SystemRandom().sample(range(15_000, 32_000), 200):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return replace(self, port=port)
        raise BackendUnavailableError("no port is free on 127.0.0.1")

    def is_taken(self, timeout_s: float = 2.0) -> bool:
        """Tell whether anything listens there.

        Raises:
            BackendUnavailableError: Nobody knows: the host has no address, or packets get lost on the way.
        """
        try:
            with socket.create_connection((self.host, self.port), timeout_s):
                return True
        except ConnectionRefusedError:
            return False
        except OSError as error:
            raise BackendUnavailableError(f"{self.url} cannot be reached: {error}") from error

    def answers(self) -> bool:
        """Tell whether a server there lets us in and serves."""
        commands = [["PING"]]
        if self.password:
            commands.insert(0, ["AUTH", *([self.username] if self.username else []), self.password])
        try:
            with socket.create_connection((self.host, self.port), 1.0) as connection:
                connection.sendall(b"".join(map(_pack, commands)))
                with connection.makefile("rb") as replies:
                    return [replies.readline() for _ in commands][-1] == b"+PONG\r\n"
        except OSError:
            return False


def _pack(command: list[str]) -> bytes:
    parts = [part.encode() for part in command]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
