"""Redis does not roll a script back: whatever a verb trips over, no message may be lost between two indexes.

Each test puts a key of the wrong type in a verb's way, runs the verb, clears the way and audits.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.broker import Broker
from alsek.core.message import Message
from alsek.exceptions import BackendDataError, BackendFullError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.operator_verbs import OperatorVerbs
from alsek.storage.backends.redis.unique_verbs import Unique, submit_unique
from alsek.storage.backends.redis.verbs import Ack, Held, Interest, Report, StoredResult
from alsek.tools.fsck import audit
from model.engine_under_test import scripts_under_test
from model.redis_dump import TimeMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from redis import Redis

    from alsek.storage.backends.redis.link import Call
    from alsek.storage.backends.redis.scripts import Script
    from harness.server import Server

TAG = "{alsek:0}:"
#: Every key that a verb writes to, by what it is.
OBSTACLES = (
    "r:q",
    "d:q",
    "l:q",
    "x:q",
    "w:q",
    "queues",
    "meta",
    "kids:progenitor",
    "c:w.0",
    "results:1",
    "r:next",
    "w:next",
)


class World:
    """Messages in every state.

    1 and 2 are leased, 3 as well and its last lease has lapsed; 4 and 5 are ready, 5 expired; 6 is delayed, 8 due;
    7 is dead.
    """

    def __init__(self, broker: Broker, client: Redis, scripts: Mapping[str, Script]) -> None:
        self.broker = broker
        self._scripts = scripts
        broker.max_deliveries = 1
        self._submit("1", "2")
        self._run(broker.verbs.claim(0, [Interest("q")], "w.0-1", "w.0", 2))
        self._submit("3")
        self._run(broker.verbs.claim(0, [Interest("q")], "w.0-2", "w.0", 1))
        client.zadd(f"{TAG}l:q", {"3": 1})
        self._submit("4", "6", "7", "8", delay={"6": 60_000, "8": 10})
        broker.submit(Message("add", queue="q", uuid="5"), ttl=1)
        broker.fail(Message("add", queue="q", uuid="7"))
        TimeMachine(client, TAG).advance(1_000)

    def run(self, verb: str) -> Any:
        verbs, held = self.broker.verbs, Held("q", "1", "w.0-1")
        operator = OperatorVerbs(verbs.keys, verbs.policy)
        two = [held, Held("q", "2", "w.0-1")]
        new = self.broker.new_message(Message("add", queue="next", uuid="9"), None, 5_000)
        results = [StoredResult(f"results:{one.uuid}", "1", 500, "kids:progenitor") for one in two]
        calls: dict[str, Callable[[], Call]] = {
            "submit": lambda: verbs.submit(0, "next", [new]),
            "submit unique": lambda: submit_unique(verbs, 0, "next", [(new, Unique("key", 60_000))]),
            "claim": lambda: verbs.claim(0, [Interest("q"), Interest("next")], "w.0-3", "w.0", 5),
            "renew": lambda: verbs.renew(0, ["q"], two),
            "progress": lambda: verbs.progress(0, [Report(one, b"1 [1,2,null]", b"{}") for one in two]),
            "ack": lambda: verbs.ack(0, [Ack(*one, ("next", new)) for one in zip(two, results, strict=True)]),
            "retry": lambda: verbs.retry(0, held, 0, b"e"),
            "retry later": lambda: verbs.retry(0, held, 5_000, b"e"),
            "fail": lambda: verbs.fail(0, held, "failed", b"e"),
            "release": lambda: verbs.release(0, two),
            "release later": lambda: verbs.release(0, two, delay_ms=5_000),
            "release counted": lambda: verbs.release(0, two, counts=True),
            "revoke": lambda: verbs.revoke(0, "q", "1"),
            "revoke waiting": lambda: verbs.revoke(0, "q", "4"),
            "remove": lambda: verbs.remove(0, "q", "4"),
            "update": lambda: verbs.update(0, Held("q", "4", ""), b"\x01\x81\xa1q\xa1q", 3, 0, b""),
            "replay": lambda: verbs.replay(0, "q", "7"),
            "pause": lambda: operator.pause(0, "q", "token", "because"),
            "resume": lambda: operator.resume(0, "q"),
            "reprioritize": lambda: operator.reprioritize(0, "q", "4", 3),
            "run now": lambda: operator.run_now(0, "q", "6"),
            "purge": lambda: operator.purge(0, "q", [("7", "")]),
        }
        return self._run(calls[verb]())

    def _submit(self, *uuids: str, delay: dict[str, int] | None = None) -> None:
        for uuid in uuids:
            self.broker.submit(Message("add", queue="q", uuid=uuid, delay=(delay or {}).get(uuid, 0)))

    def _run(self, call: Call) -> Any:
        call = call._replace(script=self._scripts.get(call.script.name, call.script))
        return self.broker.redis.links.execute([call])[0]


VERBS = (
    "submit", "claim", "renew", "progress", "ack", "retry", "retry later", "fail", "release", "release later",
    "release counted", "revoke", "revoke waiting", "remove", "update", "replay", "pause", "resume", "reprioritize",
    "run now", "purge", "submit unique",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_stopped_half_way_loses_nothing(verb: str, model_server: Server) -> None:
    assert lost_half_way(model_server, verb, scripts_under_test()) == {}


def test_a_full_server_refuses_new_messages_and_lets_the_others_drain(model_server: Server) -> None:
    assert refused_by_a_full_server(model_server, scripts_under_test()) == {
        "submit", "submit unique", "replay", "pause", "progress",
    }  # fmt: skip


def lost_half_way(server: Server, verb: str, scripts: Mapping[str, Script]) -> dict[str, list[str]]:
    """What the audit finds after a verb ran into each obstacle, by obstacle."""
    lost = {}
    with closing(server.client()) as client:
        for obstacle in OBSTACLES:
            client.flushall()
            world = World(Broker(RedisBackend(server.url)), client, scripts)
            _put_in_the_way(client, TAG + obstacle)
            with suppress(BackendDataError):
                world.run(verb)
            _clear_the_way(client, TAG + obstacle)
            if findings := audit(world.broker.redis).findings:
                lost[obstacle] = [f"{finding.uuid}: {finding.kind}" for finding in findings]
    return lost


def refused_by_a_full_server(server: Server, scripts: Mapping[str, Script]) -> set[str]:
    refused = set()
    with closing(server.client()) as client:
        for verb in VERBS:
            client.flushall()
            world = World(Broker(RedisBackend(server.url)), client, scripts)
            with server.configured({"maxmemory": 1}):
                try:
                    world.run(verb)
                except BackendFullError:
                    refused.add(verb)
    return refused


def _put_in_the_way(client: Redis, key: str) -> None:
    if client.exists(key):
        client.rename(key, "aside")
    client.set(key, "in the way")


def _clear_the_way(client: Redis, key: str) -> None:
    if client.type(key) == b"string" and client.get(key) == b"in the way":
        client.delete(key)
    if client.exists("aside"):
        client.renamenx("aside", key)
