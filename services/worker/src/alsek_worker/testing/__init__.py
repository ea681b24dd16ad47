"""For the tests of programs that use Alsek: the real engine on a server of the tests' own, in the test's own thread.

pytest finds the fixtures by itself (`alsek_worker.testing.plugin`); other runners use `TestServer` and `Runner`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alsek_worker.testing.runner import Ran, Runner
    from alsek_worker.testing.server import TestServer

__all__ = ["Ran", "Runner", "TestServer"]


def __getattr__(name: str) -> Any:
    # On demand: pytest loads the plugin for everybody, and most test runs need none of this.
    if name == "TestServer":
        from alsek_worker.testing.server import TestServer

        return TestServer
    if name not in __all__:
        raise AttributeError(f"module 'alsek_worker.testing' has no attribute {name!r}")
    from alsek_worker.testing import runner

    return getattr(runner, name)
