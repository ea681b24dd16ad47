"""What operators do to queues and messages that wait: pause, resume, reprioritize, run now, purge."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alsek import Broker, Message
from alsek.core.consumer import Consumer
from alsek.core.envelope import pack_error
from alsek.core.failure import parse_exception
from alsek.core.settlement import Failed, Succeeded
from alsek.exceptions import (
    MessageDoesNotExistsError,
    MessageStateError,
    QueueStateError,
    UnknownQueueError,
    ValidationError,
)
from alsek.storage.backends.redis import RedisBackend
from alsek.tools.fsck import audit
from alsek.tools.inspector import Inspector
from harness.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    assert not audit(broker.redis).findings
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


def claim(broker: Broker, *queues: str, want: int = 1_000) -> list[Message]:
    """Everything that can be had now."""
    consumer = Consumer(broker, list(queues or ("mail",)), worker_id="cafe")
    claimed: list[Message] = []
    for _ in range(3 * broker.keys.partitions):
        claimed += consumer.exchange((), want - len(claimed)).messages
    consumer.close()
    return claimed


def die(broker: Broker, count: int = 1, task: str = "send", reason: str = "failed") -> list[str]:
    """Dead letters."""
    for _ in range(count):
        submit(broker, task=task)
    held = claim(broker)
    error = pack_error(parse_exception(ConnectionError("no route")))
    broker.settle([Failed(message, reason, error) for message in held])
    return [message.uuid for message in held]


# -- pause -----------------------------------------------------------------------------------------------------------


def test_a_paused_queue_gives_nothing_and_takes_everything(broker: Broker, inspector: Inspector) -> None:
    before = submit(broker)
    running = claim(broker)

    pause = inspector.pause("mail", "the server  is\ndown", by="ann")
    for _ in range(8):
        submit(broker)
    submit(broker, queue="pages")

    assert (pause.reason, pause.by) == ("the server is down", "ann")
    assert inspector.queue("mail").paused == pause
    assert inspector.queue("pages").paused is None
    assert [message.queue for message in claim(broker, "mail", "pages")] == ["pages"]
    assert [message.uuid for message in running] == [before.uuid]
    broker.settle([Succeeded(running[0])])
    assert (inspector.queue("mail").ready, inspector.queue("mail").running) == (8, 0)


def test_what_falls_due_in_a_paused_queue_waits_too(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker, delay=1)
    inspector.pause("mail", "")

    assert claim(broker) == []
    assert "Not yet: it is delayed for " in inspector.explain(message.uuid)
    assert ", and the queue has been paused for 0." in inspector.explain(message.uuid)


def test_a_resumed_queue_goes_on_where_it_was(broker: Broker, inspector: Inspector) -> None:
    inspector.pause("mail", "", by="ann") if submit(broker) else None
    for _ in range(5):
        submit(broker)

    over = inspector.resume("mail")

    assert over.by == "ann"
    assert inspector.queue("mail").paused is None
    assert len(claim(broker)) == 6


def test_an_idle_consumer_wakes_when_its_queue_is_resumed(broker: Broker, inspector: Inspector) -> None:
    for _ in range(8):
        submit(broker)
    inspector.pause("mail", "")
    consumer = Consumer(broker, ["mail"])
    for _ in range(broker.keys.partitions):
        assert consumer.exchange((), 8).messages == []
    while True:  # the markers of the submits are used up, and then it sleeps
        consumer.fall_asleep()
        if consumer.overdue and not _readable(consumer, 0.2):
            break
        consumer.wake_up()
        assert consumer.exchange((), 8).messages == []

    inspector.resume("mail")

    assert _readable(consumer, 15)
    consumer.wake_up()
    assert consumer.exchange((), 8).messages
    consumer.close()


def _readable(consumer: Consumer, seconds: float) -> bool:
    import select

    return bool(select.select([consumer.fileno()], [], [], seconds)[0])


def test_a_message_of_a_paused_queue_says_why_it_waits(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)
    inspector.pause("mail", "the bank is closed", by="ann")

    sentence = inspector.explain(message.uuid)

    assert re.fullmatch(
        r"It is ready, with no message ahead of it in queue mail, but the queue has been paused by ann for \d\.\d s "
        r"because the bank is closed\.",
        sentence,
    )


def test_the_first_pause_stands(broker: Broker, inspector: Inspector) -> None:
    submit(broker)
    first = inspector.pause("mail", "the bank is closed", by="ann")

    with pytest.raises(QueueStateError, match=r"queue mail is paused already, since .* by ann: the bank is closed"):
        inspector.pause("mail", "me too", by="ben")

    assert inspector.queue("mail").paused == first


def test_only_a_paused_queue_is_resumed(broker: Broker, inspector: Inspector) -> None:
    submit(broker)

    with pytest.raises(QueueStateError, match="queue mail is not paused"):
        inspector.resume("mail")


@pytest.mark.parametrize("act", ["pause", "resume", "replay_all", "purge_all"])
def test_an_unknown_queue_is_named_and_the_likely_one_too(act: str, broker: Broker, inspector: Inspector) -> None:
    submit(broker)
    more = ("",) if act == "pause" else ()

    with pytest.raises(UnknownQueueError, match=r"there is no queue mial: did you mean mail\?"):
        getattr(inspector, act)("mial", *more)
    with pytest.raises(UnknownQueueError, match="there is no queue stone: it never had a message"):
        getattr(inspector, act)("stone", *more)


# -- messages that wait ----------------------------------------------------------------------------------------------


def test_a_waiting_message_gets_another_place_in_the_line(broker: Broker, inspector: Inspector) -> None:
    for _ in range(5):
        submit(broker, priority=5)
    last = submit(broker, priority=5)

    before = inspector.reprioritize(last.uuid, 1)

    assert before.priority == 5
    assert inspector.message(last.uuid).priority == 1
    home = broker.keys.partition(last.uuid)
    same = [message for message in claim(broker) if broker.keys.partition(message.uuid) == home]
    assert (same[0].uuid, same[0].priority) == (last.uuid, 1)


def test_the_priority_of_a_delayed_message_counts_when_it_is_due(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker, delay=60_000)

    inspector.reprioritize(message.uuid, 7)
    inspector.run_now(message.uuid)

    assert [(one.uuid, one.priority) for one in claim(broker)] == [(message.uuid, 7)]


def test_a_delayed_message_runs_now(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker, delay=60_000)

    before = inspector.run_now(message.uuid)

    assert before.due_at is not None
    assert [one.uuid for one in claim(broker)] == [message.uuid]
    with pytest.raises(MessageStateError, match="is running, not delayed"):
        inspector.run_now(message.uuid)
    with pytest.raises(MessageStateError, match="is running: only what waits has a priority"):
        inspector.reprioritize(message.uuid, 1)


def test_a_priority_that_is_none_is_refused(broker: Broker, inspector: Inspector) -> None:
    message = submit(broker)

    with pytest.raises(ValidationError, match="priority"):
        inspector.reprioritize(message.uuid, 4_096)


# -- purge -----------------------------------------------------------------------------------------------------------


def test_a_dead_letter_is_purged_and_nothing_else(broker: Broker, inspector: Inspector) -> None:
    (uuid,) = die(broker)
    alive = submit(broker)

    assert inspector.purge(uuid).reason == "failed"

    assert inspector.queue("mail").dead == 0
    with pytest.raises(MessageDoesNotExistsError, match="no message"):
        inspector.purge(uuid)
    with pytest.raises(MessageStateError, match="is ready, not among the dead letters"):
        inspector.purge(alive.uuid)


def test_dead_letters_are_purged_by_filter(broker: Broker, inspector: Inspector) -> None:
    die(broker, 3, task="send")
    die(broker, 2, task="print")
    die(broker, 2, task="send", reason="rejected")

    assert len(list(inspector.purge_all("mail", task="send", reason="failed"))) == 3
    assert inspector.queue("mail").dead == 4
    assert len(list(inspector.purge_all("mail", reason="rejected"))) == 2
    assert len(list(inspector.purge_all("mail"))) == 2
    assert inspector.queue("mail").dead == 0


def test_what_is_replayed_or_dies_meanwhile_is_not_purged(broker: Broker, inspector: Inspector) -> None:
    die(broker, 600)
    purged = inspector.purge_all("mail")
    next(purged)  # by now the first 500 are gone
    replayed = inspector.messages("mail", "dead").messages[0].uuid
    inspector.replay(replayed)
    died_anew = die(broker)

    rest = {info.uuid for info in purged}

    assert replayed in died_anew
    assert not rest & {*died_anew}
    assert inspector.queue("mail").dead == 2


def test_an_unknown_reason_is_refused(broker: Broker, inspector: Inspector) -> None:
    submit(broker)

    with pytest.raises(ValidationError, match="reason has to be one of failed, revoked, expired"):
        inspector.purge_all("mail", reason="bored")


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


def test_pause_and_resume_from_the_command_line(shop: Broker) -> None:
    submit(shop)

    assert run(shop, "pause", "mail", "--reason", "down").stdout == "Paused mail. `alsek resume mail` lets it go on.\n"
    (queue,) = told(shop, "queues")
    again = run(shop, "pause", "mail", code=2)
    assert "paused: down" in run(shop, "queues").stdout
    assert told(shop, "resume", "mail")["reason"] == "down"
    not_paused = run(shop, "resume", "mail", code=2)
    unknown = run(shop, "pause", "mial", code=2)

    assert queue["paused"]["reason"] == "down"
    assert "@" in queue["paused"]["by"]
    assert re.fullmatch(r"alsek: queue mail is paused already, since .*: down\n", again.stderr)
    assert not_paused.stderr == "alsek: queue mail is not paused\n"
    assert unknown.stderr == "alsek: there is no queue mial: did you mean mail?\n"


def test_waiting_messages_from_the_command_line(shop: Broker) -> None:
    waiting, later = submit(shop, priority=5), submit(shop, delay=60_000)

    line = f"{waiting.uuid} (send) has priority 0; it was 5.\n"
    assert run(shop, "reprioritize", waiting.uuid, "0").stdout == line
    assert told(shop, "reprioritize", waiting.uuid, "2") == {"uuid": waiting.uuid, "priority": 2, "was": 0}
    assert "is ready; it was due 20" in run(shop, "run-now", later.uuid).stdout
    assert "is ready, not delayed" in run(shop, "run-now", later.uuid, "--json", code=2).stderr


def test_dead_letters_are_purged_from_the_command_line(shop: Broker) -> None:
    die(shop, 3)
    (single,) = die(shop, 1, task="print")

    refused = run(shop, "dlq", "purge", "mail", code=2)
    assert refused.stderr == (
        "alsek: this deletes all 4 dead letters of queue mail for good: say --yes where nobody can be asked\n"
    )
    assert told(shop, "dlq", "purge", "--uuid", single, "--yes") == {"purged": 1}
    assert run(shop, "dlq", "purge", "mail", "--reason", "rejected", "--yes").stdout == "Purged 0 messages.\n"
    assert run(shop, "dlq", "purge", "mail", "--yes").stdout == "Purged 3 messages.\n"
    assert "no message" in run(shop, "dlq", "purge", "--uuid", single, "--yes", code=2).stderr
    assert "there is no queue mial: did you mean mail?" in run(shop, "dlq", "list", "mial", code=2).stderr


def test_who_can_be_asked_is_asked_before_anything_is_purged(
    shop: Broker, redis_url: str, terminals: list[Terminal]
) -> None:
    die(shop, 2)

    for answer, code, left in (("n", 1, 2), ("y", 0, 0)):
        terminal = Terminal([ALSEK, "dlq", "purge", "mail", "--namespace", "shop"], redis_url)
        terminals.append(terminal)
        terminal.wait_for(r"Delete all 2 dead letters of queue mail for good\? \[y/N\]")
        terminal.press(f"{answer}\n")
        assert terminal.ended() == code
        assert told(shop, "queues")[0]["dead"] == left


def test_a_timeline_is_shown(shop: Broker) -> None:
    (uuid,) = die(shop)

    shown = run(shop, "show", uuid).stdout

    assert re.search(r"failed .* cafe .* ConnectionError: no route", shown)
    assert [step["what"] for step in told(shop, "show", uuid)["timeline"]] == ["submitted", "failed", "dead"]
