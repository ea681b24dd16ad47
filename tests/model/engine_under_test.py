"""The real verbs on a real server, with the model's method names and replies."""

from __future__ import annotations

import os
import re
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.operator_verbs import OperatorVerbs
from alsek.storage.backends.redis.scripts import Script
from alsek.storage.backends.redis.unique_verbs import Unique, read_unique, submit_unique
from alsek.storage.backends.redis.verbs import Ack, Hand, Held, Interest, NewMessage, Policy, Report, Verbs
from model.redis_dump import Dump, TimeMachine, redis_dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alsek.storage.backends.redis.link import Call
    from harness.server import Server

#: The texts that both sides are given.
STATUSES = {
    name: f'{{"status": "{name}", "details": null}}'.encode()
    for name in ("SUBMITTED", "RUNNING", "RETRYING", "FAILED", "EXPIRED", "SUCCEEDED")
}
CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR = b"crashed", b"expired", b"revoked"


class EngineUnderTest:
    """One partition of a real server behind the real verbs.

    Args:
        server: Its data are dropped.
        scripts: Run these in the place of the package's, by verb.
    """

    def __init__(self, server: Server, scripts: Mapping[str, Script] | None = None) -> None:
        self.backend = RedisBackend(server.url, namespace="model")
        self.keys = self.backend.keys
        self.tag = self.keys.tag(0)
        self.client = server.client()
        self.machine = TimeMachine(self.client, self.tag)
        self._link = self.backend.new_link()
        self._scripts = scripts or {}
        self._listener = server.client().pubsub()
        self._listener.psubscribe("*")
        self._listener.get_message(timeout=5)
        self.start(Policy())

    def start(self, policy: Policy) -> None:
        """Begin with an empty server and a new policy."""
        self.client.flushall()
        self.policy = policy
        self._verbs = Verbs(self.keys, policy, STATUSES, CRASH_ERROR, EXPIRY_ERROR, REVOCATION_ERROR)
        self._operator = OperatorVerbs(self.keys, policy)
        self.published()

    def close(self) -> None:
        self._link.close()
        self._listener.close()
        self.client.close()

    def dump(self) -> tuple[Dump, int]:
        """The partition, and the server's time when it was read."""
        seconds, micros = self.client.time()  # type: ignore[misc]  # stub lacks sync result
        return redis_dump(self.client, self.tag), seconds * 1000 + micros // 1000

    def published(self) -> list[tuple[str, str]]:
        """What was published since the last question, in order."""
        self.client.publish("that-is-all", "")
        heard = []
        while True:
            message = self._listener.get_message(timeout=5)
            assert message is not None, "the server lost a message"
            channel, data = message["channel"].decode(), message["data"].decode("latin-1")
            if channel == "that-is-all":
                return heard
            heard.append((channel, data))

    def submit(self, queue: str, messages: Sequence[NewMessage], *, again: bool = False) -> list[int]:
        return self._run(self._verbs.submit(0, queue, messages, again=again))

    def submit_unique(
        self, queue: str, messages: Sequence[tuple[NewMessage, Unique]], *, again: bool = False
    ) -> list[int | str]:
        return read_unique(self._run(submit_unique(self._verbs, 0, queue, messages), again=again))

    def claim(
        self, interests: Sequence[Interest], token: str, consumer: str, want: int, *, again: bool = False
    ) -> Hand:
        call = self._verbs.claim(0, interests, token, consumer, want)
        return self._verbs.read_claim(self._run(call, again=again), interests)

    def renew(self, queues: Sequence[str], leases: Sequence[Held]) -> list[int]:
        return self._run(self._verbs.renew(0, queues, leases))

    def progress(self, reports: Sequence[Report]) -> list[int]:
        return self._run(self._verbs.progress(0, reports))

    def ack(self, acks: Sequence[Ack]) -> list[int]:
        codes = self._run(self._verbs.ack(0, acks))
        order = self._verbs.ack_order(acks)
        return [codes[order.index(position)] for position in range(len(acks))]

    def retry(self, held: Held, delay_ms: int, error: bytes, body: bytes = b"") -> int:
        return self._run(self._verbs.retry(0, held, delay_ms, error, body))

    def fail(self, held: Held, reason: str, error: bytes, body: bytes = b"") -> int:
        return self._run(self._verbs.fail(0, held, reason, error, body))

    def release(self, leases: Sequence[Held], **how: Any) -> list[int]:
        return self._run(self._verbs.release(0, leases, **how))

    def revoke(self, queue: str, uuid: str, *, skip_if_running: bool = False) -> int:
        return self._run(self._verbs.revoke(0, queue, uuid, skip_if_running=skip_if_running))

    def remove(self, queue: str, uuid: str) -> int:
        return self._run(self._verbs.remove(0, queue, uuid))

    def update(self, held: Held, body: bytes, priority: int, retries: int, error: bytes) -> int:
        return self._run(self._verbs.update(0, held, body, priority, retries, error))

    def replay(self, queue: str, uuid: str, *, again: bool = False) -> int:
        return self._run(self._verbs.replay(0, queue, uuid), again=again)

    def pause(self, queue: str, token: str, note: str, *, again: bool = False) -> int:
        return self._run(self._operator.pause(0, queue, token, note), again=again)

    def resume(self, queue: str, *, again: bool = False) -> int:
        return self._run(self._operator.resume(0, queue), again=again)

    def reprioritize(self, queue: str, uuid: str, priority: int) -> int:
        return self._run(self._operator.reprioritize(0, queue, uuid, priority))

    def run_now(self, queue: str, uuid: str) -> int:
        return self._run(self._operator.run_now(0, queue, uuid))

    def purge(self, queue: str, letters: Sequence[tuple[str, int | str]]) -> list[int]:
        return self._run(self._operator.purge(0, queue, letters))

    def _run(self, call: Call, *, again: bool = False) -> Any:
        if again:
            args = list(call.args)
            args[call.again] = "1"
            call = call._replace(args=args)
        if mutant := self._scripts.get(call.script.name):
            call = call._replace(script=mutant)
        return self._link.execute([call])[0]


def scripts_under_test() -> dict[str, Script]:
    """Nothing, which means the package's own scripts; or those of the folder `ALSEK_MODEL_SCRIPTS`, to try others."""
    return load_scripts() if "ALSEK_MODEL_SCRIPTS" in os.environ else {}


def load_scripts(mutations: Sequence[tuple[str, str, str]] = ()) -> dict[str, Script]:
    """Put the verbs together from their files, with bugs planted.

    Args:
        mutations: File, the text to be replaced (it has to be there), its replacement.
    """
    package = str(files("alsek.storage.backends.redis").joinpath("lua"))
    folder = Path(os.environ.get("ALSEK_MODEL_SCRIPTS", package))
    texts = {path.stem: path.read_text() for path in folder.glob("*.lua")}
    for name, old, new in mutations:
        assert old in texts[name], f"{name}.lua no longer holds {old!r}: plant this bug anew"
        texts[name] = texts[name].replace(old, new)
    loaded = {}
    for name, text in texts.items():
        source = re.sub(r"-- include: (\w+)\n", lambda found: texts[found[1]], text).encode()
        loaded[name] = Script(name, source, sha1(source, usedforsecurity=False).hexdigest().encode())
    return loaded
