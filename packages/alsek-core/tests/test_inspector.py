"""What people are told of queues and messages: every state, every page, and why a message does not run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message
from alsek.core.consumer import Consumer
from alsek.core.envelope import pack_error
from alsek.core.failure import parse_exception
from alsek.core.settlement import Failed, Retried, Succeeded
from alsek.exceptions import MessageDoesNotExistsError, ValidationError
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.registry import Registry
from alsek.tools.inspector import STATES, Inspector
from harness.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

ALSEK = str(Path(sys.executable).with_name("alsek"))


@pytest.fixture(params=[1, 4])
def partitions(request: pytest.FixtureRequest) -> int:
    """Everything holds for several partitions, too."""
    return int(request.param)


@pytest.fixture
def broker(redis_url: str, partitions: int) -> Iterator[Broker]:
    """A broker of the test alone."""
    broker = Broker(RedisBackend(redis_url, namespace="shop", partitions=partitions))
    yield broker
    broker.redis.close()


@pytest.fixture
def inspector(broker: Broker) -> Iterator[Inspector]:
    """Looks at it."""
    inspector = Inspector(broker)
    yield inspector
    inspector.close()


def submit(broker: Broker, task: str = "send", queue: str = "mail", **fields: Any) -> Message:
    message = Message(task, queue=queue, **fields)
    broker.submit(message)
    return message


def claim(broker: Broker, queue: str = "mail", want: int = 1) -> list[Message]:
    consumer = Consumer(broker, [queue], worker_id="cafe")
    claimed: list[Message] = []
    while len(claimed) < want:
        claimed += consumer.exchange((), want - len(claimed)).messages
    consumer.close()
    return claimed


def error(text: str = "no route") -> bytes:
    return pack_error(parse_exception(ConnectionError(text)))


# -- each state ------------------------------------------------------------------------------------------------------


def ready(broker: Broker) -> Message:
    return submit(broker, args=(1,), kwargs={"to": "me"}, priority=3)


def behind_two_others(broker: Broker) -> Message:
    # In one partition, where the rank is told.
    home = submit(broker, priority=1)
    keys = broker.keys
    found = [home]
    while len(found) < 3:
        message = Message("send", queue="mail", priority=1)
        if keys.partition(message.uuid) == keys.partition(home.uuid):
            broker.submit(message)
            found.append(message)
    return found[-1]


def delayed(broker: Broker) -> Message:
    return submit(broker, delay=60_000)


def retried(broker: Broker) -> Message:
    message = submit(broker)
    (held,) = claim(broker)
    broker.settle([Retried(held, 60_000, error(), broker.pack(held.clone().increment_retries()))])
    return message


def running(broker: Broker) -> Message:
    message = submit(broker)
    claim(broker)
    return message


def failed(broker: Broker) -> Message:
    message = submit(broker)
    (held,) = claim(broker)
    broker.settle([Failed(held, "failed", error())])
    return message


def rejected(broker: Broker) -> Message:
    message = submit(broker)
    (held,) = claim(broker)
    broker.settle([Failed(held, "rejected", error("no address"))])
    return message


def revoked(broker: Broker) -> Message:
    message = submit(broker)
    broker.revoke(message)
    return message


def succeeded(broker: Broker) -> Message:
    message = submit(broker)
    (held,) = claim(broker)
    broker.settle([Succeeded(held)])
    return message


def without_dead_letters(broker: Broker) -> Message:
    broker.dlq_ttl = None
    return failed(broker)


LAST_ERROR = " Its last error: ConnectionError"
NO_WORKER = ", but no worker has ever looked at this namespace"

CASES = {
    ready: ("ready", rf"It is ready, with no message ahead of it in queue mail{NO_WORKER}\."),
    behind_two_others: ("ready", rf"It is ready, with 2 messages ahead of it in queue mail{NO_WORKER}\."),
    delayed: ("delayed", rf"Not yet: it is delayed for another (60|59) s{NO_WORKER}\."),
    retried: (
        "delayed",
        r"Not yet: its retry 1 waits for another (60|59) s\. Its last error: ConnectionError: no route\.",
    ),
    running: ("running", r"Worker cafe has it, delivery 1, and its lease is good for another (30|29) s\."),
    failed: (
        "dead",
        rf"It has been a dead letter for \d\.\d s: its retries are used up\.{LAST_ERROR}: no route\.",
    ),
    rejected: (
        "dead",
        rf"It has been a dead letter for \d\.\d s: its task rejected it\.{LAST_ERROR}: no address\.",
    ),
    revoked: (
        "dead",
        r"It has been a dead letter for \d\.\d s: it was revoked\. Its last error: .*RevokedError: Task Revoked\.",
    ),
    succeeded: ("succeeded", r"It has succeeded, \d\.\d s ago\."),
    without_dead_letters: ("failed", r"It has failed, \d\.\d s ago\."),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_every_state_is_told_and_explained(case: Any, broker: Broker, inspector: Inspector) -> None:
    state, sentence = CASES[case]
    message = case(broker)

    info = inspector.message(message.uuid)

    assert (info.uuid, info.state) == (message.uuid, state)
    explanation = inspector.explain(message.uuid)
    assert re.fullmatch(sentence, explanation), explanation


def test_a_message_is_told_with_all_that_is_known(broker: Broker, inspector: Inspector) -> None:
    message = ready(broker)

    info = inspector.message(message.uuid)

    assert (info.task, info.queue, info.priority) == ("send", "mail", 3)
    assert (info.args, info.kwargs, info.created_at) == ((1,), {"to": "me"}, message.created_at)
    assert (info.retries, info.deliveries, info.fence, info.worker, info.error) == (0, 0, 0, "", None)


def test_a_lapsed_lease_is_explained(redis_url: str) -> None:
    broker = Broker(RedisBackend(redis_url, namespace="shop"), lease_ms=50)
    inspector = Inspector(broker)
    message = running(broker)

    eventually(lambda: "has not renewed its lease" in inspector.explain(message.uuid), what="the lease is over")
    inspector.close()


def test_a_silence_of_all_workers_is_told(redis_url: str, redis_client: redis.Redis) -> None:
    broker = Broker(RedisBackend(redis_url, namespace="shop"))
    inspector = Inspector(broker)
    message = ready(broker)
    redis_client.hset("{shop:0}:meta", "clock", int(redis_client.time()[0] * 1000) - 3_600_000)

    assert ", but no worker has spoken for 60 min." in inspector.explain(message.uuid)
    inspector.close()


@pytest.mark.parametrize("ask", ["message", "explain", "revoke", "replay"])
def test_an_unknown_message_is_named(ask: str, inspector: Inspector) -> None:
    with pytest.raises(MessageDoesNotExistsError, match="no message nobody: it never was"):
        getattr(inspector, ask)("nobody")


# -- queues ----------------------------------------------------------------------------------------------------------


def test_queues_are_counted_by_state(broker: Broker, inspector: Inspector) -> None:
    for _ in range(5):
        submit(broker)
    for _ in range(2):
        submit(broker, delay=60_000)
    claim(broker, want=2)
    submit(broker, queue="pages")
    broker.revoke(submit(broker, queue="pages"))

    mail, pages = inspector.queues()

    assert (mail.name, mail.ready, mail.delayed, mail.running, mail.dead) == ("mail", 3, 2, 2, 0)
    assert (pages.name, pages.ready, pages.delayed, pages.running, pages.dead) == ("pages", 1, 0, 0, 1)
    assert mail.due_in_ms is not None
    assert 50_000 < mail.due_in_ms <= 60_000
    assert pages.due_in_ms is None
    assert 0 <= mail.waiting_ms < 30_000
    assert inspector.queue("never_used").ready == 0


def test_the_head_of_the_line_tells_how_long_it_waits_whatever_its_priority(
    broker: Broker, inspector: Inspector
) -> None:
    submit(broker, priority=4_095)

    eventually(lambda: inspector.queue("mail").waiting_ms > 30, what="it has waited a little")
    assert inspector.queue("mail").waiting_ms < 60_000


# -- pages -----------------------------------------------------------------------------------------------------------


def everything(inspector: Inspector, state: str, **choice: Any) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = inspector.messages("mail", state, cursor=cursor, **choice)
        found += [info.uuid for info in page.messages]
        assert all(info.state == state for info in page.messages)
        if page.cursor is None:
            return found
        cursor = page.cursor


@pytest.mark.parametrize("state", STATES)
def test_pages_give_each_message_once(state: str, broker: Broker, inspector: Inspector) -> None:
    made = [Message("send", queue="mail", delay=60_000 if state == "delayed" else 0) for _ in range(25)]
    broker.submit_many(made)
    if state in ("running", "dead"):
        held = claim(broker, want=25)
        if state == "dead":
            broker.settle([Failed(message, "failed", error()) for message in held])

    found = everything(inspector, state, limit=7)

    assert Counter(found) == Counter(message.uuid for message in made)


def test_a_page_goes_on_after_a_message_that_left(broker: Broker, inspector: Inspector) -> None:
    broker.submit_many([Message("send", queue="mail") for _ in range(12)])
    first = inspector.messages("mail", limit=5)
    broker.revoke(broker.find(first.messages[-1].uuid) or pytest.fail("it is gone"))

    rest = inspector.messages("mail", limit=50, cursor=first.cursor)

    # Those of its own millisecond may be given again, but none is left out.
    seen = {info.uuid for info in (*first.messages, *rest.messages)}
    assert len(seen) == 12


def test_a_list_can_be_of_one_task(broker: Broker, inspector: Inspector) -> None:
    wanted = [submit(broker, task="rare").uuid if n % 5 == 0 else submit(broker).uuid[:0] for n in range(20)]

    found = everything(inspector, "ready", task="rare", limit=3)

    assert Counter(found) == Counter(uuid for uuid in wanted if uuid)


@pytest.mark.parametrize(
    ("choice", "hint"),
    [
        ({"state": "lost"}, "state has to be one of ready, delayed, running, dead: 'lost'"),
        ({"limit": 0}, "limit has to be 1 to 500: 0"),
        ({"limit": 501}, "limit has to be 1 to 500: 501"),
        ({"cursor": "??"}, "that is no cursor"),
        ({"cursor": "W10"}, "that is no cursor"),
        ({"queue": "a b"}, "queue"),
    ],
)
def test_a_wrong_question_is_refused(choice: dict[str, Any], hint: str, inspector: Inspector) -> None:
    with pytest.raises(ValidationError, match=re.escape(hint)):
        inspector.messages(**{"queue": "mail"} | choice)


def test_a_strange_key_in_the_place_of_an_index_is_no_obstacle(redis_url: str, redis_client: redis.Redis) -> None:
    broker = Broker(RedisBackend(redis_url, namespace="shop"))
    inspector = Inspector(broker)
    submit(broker)
    redis_client.set("{shop:0}:d:mail", "strange")

    assert inspector.queue("mail").ready == 1
    assert inspector.messages("mail", "delayed").messages == []
    inspector.close()


# -- acting ----------------------------------------------------------------------------------------------------------


def test_a_message_is_revoked(broker: Broker, inspector: Inspector) -> None:
    message = running(broker)

    before = inspector.revoke(message.uuid)

    assert before.state == "running"
    assert inspector.message(message.uuid).reason == "revoked"
    with pytest.raises(MessageDoesNotExistsError, match="is dead already"):
        inspector.revoke(message.uuid)


def test_a_dead_letter_is_replayed_once(broker: Broker, inspector: Inspector) -> None:
    message = failed(broker)

    assert inspector.replay(message.uuid).reason == "failed"

    again = inspector.message(message.uuid)
    assert (again.state, again.retries, again.deliveries) == ("ready", 0, 0)
    with pytest.raises(MessageDoesNotExistsError, match="is ready, not among the dead letters"):
        inspector.replay(message.uuid)


def test_dead_letters_are_replayed_by_filter(broker: Broker, inspector: Inspector) -> None:
    for task in ("send", "send", "print"):
        submit(broker, task=task)
    broker.settle([Failed(message, "failed", error()) for message in claim(broker, want=3)])
    revoked(broker)

    replayed = list(inspector.replay_all("mail", task="send", reason="failed"))

    assert [info.task for info in replayed] == ["send", "send"]
    assert (inspector.queue("mail").ready, inspector.queue("mail").dead) == (2, 2)
    assert len(list(inspector.replay_all("mail"))) == 2
    assert inspector.queue("mail").dead == 0


# -- the commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(redis_url: str) -> Iterator[Broker]:
    """One partition: what the commands look at by default."""
    broker = Broker(RedisBackend(redis_url, namespace="shop"))
    yield broker
    broker.redis.close()


def run(broker: Broker, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    client = broker.redis.conn.get_connection_kwargs()
    environment = os.environ | {"ALSEK_REDIS_URL": f"redis://127.0.0.1:{client['port']}/0", "NO_COLOR": "1"}
    done = subprocess.run(
        [ALSEK, *args, "--namespace", "shop"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


def told(broker: Broker, *args: str) -> Any:
    return json.loads(run(broker, *args, "--json").stdout)


def test_the_commands_tell_the_same_as_tables_and_as_json(shop: Broker) -> None:
    waiting, dead = ready(shop), revoked(shop)

    (queue,) = told(shop, "queues")
    page = told(shop, "messages", "mail")
    letters = told(shop, "dlq", "list", "mail")
    info = told(shop, "show", waiting.uuid)

    assert (queue["name"], queue["ready"], queue["dead"]) == ("mail", 1, 1)
    assert [one["uuid"] for one in page["messages"]] == [waiting.uuid]
    assert [one["reason"] for one in letters["messages"]] == ["revoked"]
    assert (info["state"], info["args"], info["kwargs"]) == ("ready", [1], {"to": "me"})
    assert "It is ready" in told(shop, "explain", waiting.uuid)["explanation"]
    assert re.search(r"mail .* 1 .* 0 .* 0 .* 1 ", run(shop, "queues").stdout)
    assert waiting.uuid in run(shop, "messages", "mail").stdout
    assert "Task Revoked" in run(shop, "dlq", "list", "mail").stdout
    assert "{'to': 'me'}" in run(shop, "show", waiting.uuid).stdout
    assert run(shop, "explain", dead.uuid).stdout.startswith("It has been a dead letter for ")


def test_the_commands_act(shop: Broker) -> None:
    waiting = ready(shop)

    assert run(shop, "revoke", waiting.uuid).stdout == f"Revoked {waiting.uuid} (send), which was ready.\n"
    assert run(shop, "dlq", "replay", "mail", "--reason", "failed").stdout == "Replayed 0 messages.\n"
    assert told(shop, "dlq", "replay", "--uuid", waiting.uuid) == {"replayed": 1}
    assert shop.exists(waiting)


def test_dead_letters_are_chosen_by_their_uuid_as_by_their_queue(shop: Broker) -> None:
    letter, of_queue = revoked(shop), "2b0fa6d5-6d0a-4d53-9d5e-9f6b2ad3d0c1"
    other = Message("send", queue=of_queue)
    shop.submit(other)
    shop.revoke(other)

    assert told(shop, "dlq", "replay", letter.uuid) == {"replayed": 1}
    assert "is ready, not among the dead letters" in run(shop, "dlq", "purge", letter.uuid, "--yes", code=2).stderr
    assert told(shop, "dlq", "purge", of_queue, "--yes") == {"purged": 1}
    assert f"there is no queue {of_queue[::-1]}" in run(shop, "dlq", "replay", of_queue[::-1], code=2).stderr


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (("show", "nobody"), "no message nobody: it never was"),
        (("messages", "mail", "--state", "lost"), "state has to be one of"),
        (("dlq", "replay"), "name a queue"),
        (("dlq", "replay", "mail", "--uuid", "x"), "name a queue"),
        (("dlq", "replay", "--uuid", "nobody"), "no message nobody"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(args: tuple[str, ...], hint: str, shop: Broker) -> None:
    done = run(shop, *args, code=2)

    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("alsek: ")
    assert hint in line


def test_an_error_is_told_by_name_in_json(shop: Broker) -> None:
    assert told(shop, "show", rejected(shop).uuid)["error"]["text"] == "no address"


def test_where_nothing_is_the_commands_say_so(shop: Broker) -> None:
    nothing = "alsek: there is no queue mail: no queue has had a message in namespace shop yet\n"

    assert run(shop, "queues").stdout == "No queue has had a message in namespace shop yet.\n"
    for command in (("messages", "mail"), ("dlq", "list", "mail"), ("pause", "mail"), ("dlq", "replay", "mail")):
        assert run(shop, *command, code=2).stderr == nothing
    assert shop.redis.count() == 0

    ready(shop)

    assert run(shop, "messages", "mail", "--state", "delayed").stdout == "No message of queue mail is delayed.\n"
    assert run(shop, "dlq", "list", "mail", "--task", "send").stdout == "Queue mail has no dead letters of task send.\n"


@pytest.mark.parametrize(
    "command",
    [("messages",), ("dlq", "list"), ("dlq", "replay"), ("dlq", "purge", "--yes")],
)
def test_a_task_that_nobody_knows_is_named_with_the_one_that_was_meant(command: tuple[str, ...], shop: Broker) -> None:
    Registry(shop.redis).beat("w", 60_000, b"{}", b"{}", {"send": b"{}"})
    revoked(shop)

    done = run(shop, *command, "mail", "--task", "sent", code=2)

    assert done.stderr == "alsek: there is no task sent: did you mean send?\n"
    assert told(shop, "queues")[0]["dead"] == 1
