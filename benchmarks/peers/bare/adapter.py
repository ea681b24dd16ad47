"""The least that an HTTP service for Redis can do: one FastAPI endpoint, one round trip."""

from peerkit.adapter import Adapter, serve


class Bare(Adapter):
    def worker(self):
        from peerkit.adapter import program

        return [
            program("uvicorn"), "bare_endpoint:app", "--port", "0", "--no-access-log", "--log-level", "info",
        ]  # fmt: skip


serve(Bare())
