"""Passwords that live in files."""

from __future__ import annotations

from redis import exceptions as redis_errors
from redis.credentials import CredentialProvider

from alsek.storage.backends.redis.address import read_secret


class PasswordFile(CredentialProvider):
    """Credentials whose password is read anew for each connection: a secret that is replaced needs no restart.

    Args:
        path: Of the file.
        username: `None`: the default user.
    """

    def __init__(self, path: str, username: str | None = None) -> None:
        self.path = path
        self.username = username

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, username={self.username!r})"

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """Give the user, if there is one, and the password."""
        try:
            password = read_secret(self.path)
        except ValueError as error:
            raise redis_errors.AuthenticationError(str(error)) from None
        return (self.username, password) if self.username else (password,)
