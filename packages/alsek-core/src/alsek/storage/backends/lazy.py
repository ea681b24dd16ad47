"""A client that is made when it is first needed: a module may name its Redis without connecting to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class LazyClient:
    """Stands for a client until somebody needs it.

    Args:
        client_func: Makes the client; a backend calls it once, before its first command.
    """

    def __init__(self, client_func: Callable[[], Any]) -> None:
        self.client_func = client_func

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.client_func!r})"

    def get(self) -> Any:
        """Make the client."""
        return self.client_func()
