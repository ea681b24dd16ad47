"""What is known of a callback while those before it end: whoever holds its uuid may ask from the beginning."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from alsek.core.callback import follow_up
from alsek.core.consumer import Consumer
from alsek.tools.inspector import Inspector
from alsek_api.auth.keys import ANONYMOUS
from alsek_api.lookup import Lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx
    from api_stage import Stage

    from alsek.core.message import Message
    from alsek.tools.inspector import MessageInfo


@pytest.fixture
def client(shared: Stage) -> httpx.Client:
    return shared.client(shared.running, shared.key("read", "enqueue", "operate"))


class Interrupted(Inspector):
    """Looks as ever; the world goes on right after one of its looks."""

    def __init__(self, stage: Stage, look: int, meanwhile: Callable[[], None]) -> None:
        super().__init__(stage.broker)
        self.left = look
        self._meanwhile = meanwhile

    def message(self, uuid: str) -> MessageInfo:
        try:
            return super().message(uuid)
        finally:
            if self.left == 0:
                self._meanwhile()
            self.left -= 1


def chain(client: httpx.Client, queue: str = "chain") -> tuple[str, str, str]:
    """A message with two callbacks, in a queue without workers."""
    asked = {"task": "step", "queue": queue, "callbacks": 2 * [{"task": "step", "queue": queue}]}
    accepted: dict[str, Any] = client.post("/v1/messages", json=asked).json()
    first, second = accepted["callbacks"]
    return accepted["uuid"], first, second


def claim(stage: Stage, queue: str) -> Message:
    consumer = Consumer(stage.broker, [queue])
    (message,) = consumer.exchange((), 1).messages
    consumer.close()
    return message


def succeed(stage: Stage, queue: str, steps: int) -> None:
    """Do what a worker does with the messages at the head of a queue."""
    for _ in range(steps):
        message = claim(stage, queue)
        child = follow_up(message, 1)
        stage.broker.ack(
            message, callback=None if child is None else (queue, stage.broker.new_message(child, None, None))
        )


@pytest.mark.parametrize("steps", [1, 2])
def test_a_callback_is_awaited_whenever_those_before_it_succeed(
    client: httpx.Client, shared: Stage, steps: int
) -> None:
    look, left = 0, -1
    while left < 0:
        queue = f"chain-{look}"
        *_, last = chain(client, queue)
        inspector = Interrupted(shared, look, partial(succeed, shared, queue, steps))

        state = Lookup(shared.broker, inspector).find(last, ANONYMOUS).state

        assert state in ("waiting", "ready"), f"interrupted after look {look}"
        look, left = look + 1, inspector.left
    assert look > 3


def test_a_callback_says_whom_it_waits_for(client: httpx.Client, shared: Stage) -> None:
    parent, first, second = chain(client)
    lookup = Lookup(shared.broker, Inspector(shared.broker))

    assert lookup.find(second, ANONYMOUS).ahead == (first, parent)
    assert lookup.find(parent, ANONYMOUS).ahead == ()
    assert client.get(f"/v1/messages/{second}").json()["state"] == "waiting"
    assert client.get(f"/v1/messages/{second}/result", params={"wait": 0.1}).json()["state"] == "waiting"


def test_who_waits_for_a_callback_hears_that_it_will_never_run(client: httpx.Client, shared: Stage) -> None:
    *_, last = chain(client)

    with client.stream("GET", f"/v1/messages/{last}/events") as stream:
        lines = stream.iter_lines()
        assert any('"state":"waiting"' in line for line in lines)
        shared.broker.fail(claim(shared, "chain"))
        rest = list(lines)

    assert any('"state":"ended"' in line for line in rest)
    response = client.get(f"/v1/messages/{last}/result", params={"wait": 30})
    assert response.status_code == 410
    assert "did not succeed" in response.json()["detail"]
