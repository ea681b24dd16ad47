"""The pages as they work without scripts: what they show, and that every action is a plain form."""

from __future__ import annotations

import html
import re
import signal
from typing import TYPE_CHECKING

import pytest
from dashboard_site import Site, Visitor, visible

from alsek.types import ExceptionDetails
from harness.eventually import eventually

if TYPE_CHECKING:
    from api_stage import Stage


def test_the_overview_sums_up_the_queues(site: Site) -> None:
    site.submit("sums")
    site.submit("sums", delay=60_000)

    page = visible(site.visitor("read").page("/"))

    assert "Overview" in page
    assert "sums 1 0 1" in page


def test_a_queue_is_paused_with_a_reason_and_resumed(site: Site) -> None:
    site.submit("sleepy")
    visitor = site.visitor("operate")

    paused = visitor.send("/queues/sleepy", "/queues/sleepy/pause", reason="the bank is <closed>")
    pause = site.inspector.queue("sleepy").paused
    resumed = visitor.send("/queues/sleepy", "/queues/sleepy/resume")

    assert pause is not None
    assert pause.reason == "the bank is <closed>"
    assert "Queue sleepy is paused." in paused
    assert "the bank is <closed>" in paused
    assert "Queue sleepy goes on." in resumed
    assert site.inspector.queue("sleepy").paused is None


def test_pausing_twice_says_so_in_one_line_and_changes_nothing(site: Site) -> None:
    site.submit("twice")
    visitor = site.visitor()
    fields = visitor.forms("/queues/twice")["/queues/twice/pause"]
    site.inspector.pause("twice", "first")

    answer = visitor.client.post("/queues/twice/pause", data=fields | {"reason": "second"})

    assert answer.status_code == 409
    assert "paused already" in visible(answer.text)
    pause = site.inspector.queue("twice").paused
    assert pause is not None
    assert pause.reason == "first"


def test_messages_are_listed_by_state_and_task_and_found_by_their_id(site: Site) -> None:
    one = site.submit("many", "first", name="pack")
    site.submit("many", "second", name="send")
    later = site.submit("many", "third", name="pack", delay=60_000)
    visitor = site.visitor("read")

    ready = visitor.page("/messages?queue=many&state=ready&task=pack")
    delayed = visitor.page("/messages?queue=many&state=delayed")
    found = visitor.get(f"/messages?search=%20{one.uuid}%20")

    assert one.uuid in ready
    assert '"first"' in visible(ready)
    assert "second" not in ready
    assert later.uuid not in ready
    assert later.uuid in delayed
    assert found.headers["location"] == f"/messages/{one.uuid}"


def test_long_lists_come_page_by_page(site: Site) -> None:
    uuids = {site.submit("long", number).uuid for number in range(120)}
    visitor = site.visitor("read")
    seen: list[str] = []

    path = "/messages?queue=long&state=ready"
    for _ in range(3):
        page = visitor.page(path)
        seen += [uuid for uuid in uuids if f'id="message-{uuid}"' in page]
        following = re.search(r'href="([^"]*)" rel="next"', page)
        path = html.unescape(following[1]) if following is not None else ""

    assert sorted(seen) == sorted(uuids)
    assert not path


def test_a_message_shows_its_arguments_and_why_it_does_not_run(site: Site) -> None:
    message = site.submit("waiting", 1, "two", {"three": [4]})

    page = visible(site.visitor("read").page(f"/messages/{message.uuid}"))

    assert "It is ready" in page
    assert '[1, "two", {"three": [4]}]' in page


def test_a_dead_letter_shows_its_error_and_traceback(site: Site) -> None:
    message = site.submit("broken", name="divide")
    message.exception_details = ExceptionDetails("shop.OutOfStockError", "none <left>", "Traceback: line 12").as_dict()
    site.stage.broker.fail(message)
    visitor = site.visitor("read")

    page = visible(visitor.page(f"/messages/{message.uuid}"))
    listed = visible(visitor.page("/dead-letters?queue=broken"))

    assert "shop.OutOfStockError : none <left> Traceback: line 12" in page
    assert "OutOfStockError: none <left>" in listed


def test_the_life_of_a_message_is_told_step_by_step(site: Site) -> None:
    site.open_shop()
    message = site.submit("billing", 1, 200_000, name="charge_card")
    visitor = site.visitor("read")
    eventually(lambda: site.inspector.message(message.uuid).state == "delayed", timeout=30)

    page = visible(visitor.page(f"/messages/{message.uuid}"))

    assert "Submitted" in page
    assert "Failed, to be retried" in page
    assert "CardDeclinedError: order 1: the bank declined 2000.00 EUR" in page
    assert "Waits for its time" in page


def test_what_a_task_returned_is_shown(site: Site) -> None:
    site.open_shop()
    visitor = site.visitor("enqueue")
    fields = visitor.forms("/tasks/reindex")["/tasks/reindex"]
    answer = visitor.client.post("/tasks/reindex", data=fields | {"p.shelf": "<b>poetry</b>"})
    path = answer.headers["location"]
    eventually(lambda: "succeeded" in visible(visitor.page(path)), timeout=30)

    assert 'Result "shelf <b>poetry</b>"' in visible(visitor.page(path))


def test_the_pace_is_drawn_and_told_as_a_table(site: Site) -> None:
    site.open_shop()
    message = site.submit("search", "a", name="reindex")
    eventually(lambda: site.inspector.message(message.uuid).state == "succeeded", timeout=30)

    for path in ("/", "/queues/search"):
        page = site.visitor("read").page(path)
        assert '<rect class="tone-green"' in page
        assert page.count('<tr><td data-value="') == 2 * 60


def test_a_stream_says_that_something_changed_and_ends_with_the_service(stage: Stage) -> None:
    running = stage.serve()
    visitor = Visitor(running)
    visitor.page("/")
    heard: list[str] = []

    with visitor.client.stream("GET", "/live") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 2000"
        heard.append(next(line for line in lines if line.startswith("event")))  # for what the page has missed
        Site.submit_to(stage, "streamed")
        heard.append(next(line for line in lines if line.startswith("event")))
        running.process.signal(signal.SIGTERM)
        heard.append([line for line in lines if line.startswith("event")][-1])

    assert heard == ["event: changed", "event: changed", "event: bye"]
    assert running.process.wait() == 0


def test_a_delayed_message_is_run_now(site: Site) -> None:
    message = site.submit("later", delay=600_000)

    page = site.visitor("operate").send(f"/messages/{message.uuid}", f"/messages/{message.uuid}/run-now")

    assert "It is ready now." in page
    assert site.inspector.message(message.uuid).state == "ready"


def test_a_priority_is_changed(site: Site) -> None:
    message = site.submit("urgent", priority=9)

    site.visitor("operate").send(f"/messages/{message.uuid}", f"/messages/{message.uuid}/priority", priority="2")

    assert site.inspector.message(message.uuid).priority == 2


def test_a_message_is_revoked_replayed_and_purged(site: Site) -> None:
    message = site.submit("lives")
    visitor = site.visitor("operate")
    path = f"/messages/{message.uuid}"

    assert "Revoked." in visitor.send(path, f"{path}/revoke")
    assert site.inspector.message(message.uuid).state == "dead"
    assert "Replayed" in visitor.send(path, f"{path}/replay")
    assert site.inspector.message(message.uuid).state == "ready"
    visitor.send(path, f"{path}/revoke")
    assert "Purged" in visitor.send(path, f"{path}/purge")
    assert visitor.get(path).status_code == 404


def test_dead_letters_are_replayed_all_together_or_by_task(site: Site) -> None:
    dead = [site.kill("heap", number, name="even" if number % 2 == 0 else "odd") for number in range(6)]
    visitor = site.visitor("operate")

    some = visitor.send("/dead-letters?queue=heap&task=even", "/dead-letters/replay")
    rest = visitor.send("/dead-letters?queue=heap", "/dead-letters/replay")

    assert "Replayed 3 dead letters of heap." in some
    assert "Replayed 3 dead letters of heap." in rest
    assert {site.inspector.message(one.uuid).state for one in dead} == {"ready"}


def test_purging_all_wants_the_name_of_the_queue(site: Site) -> None:
    for number in range(3):
        site.kill("rubbish", number)
    visitor = site.visitor("operate")
    fields = visitor.forms("/dead-letters?queue=rubbish")["/dead-letters/purge"]

    refused = visitor.client.post("/dead-letters/purge", data=fields | {"confirm": "no"})
    purged = visitor.send("/dead-letters?queue=rubbish", "/dead-letters/purge", confirm="rubbish")

    assert refused.status_code == 422
    assert "Purged 3 dead letters of rubbish." in purged
    assert site.inspector.queue("rubbish").dead == 0


def test_what_is_not_there_is_a_page_that_says_so(site: Site) -> None:
    answer = site.visitor("read").get("/messages/00000000-0000-7000-8000-000000000000")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "no message 00000000" in visible(answer.text)


@pytest.mark.parametrize(
    "path", ["/queues/%7Bx%7D", "/messages?queue=a&cursor=zzz", "/messages?queue=%00", f"/messages?task={'x' * 300}"]
)
def test_nonsense_in_an_address_is_refused_in_one_line(site: Site, path: str) -> None:
    answer = site.visitor("read").get(path)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Traceback" not in answer.text


def test_every_action_leaves_a_line_that_says_who_did_what(site: Site) -> None:
    message = site.submit("audited", "secret argument")
    visitor = site.visitor("operate")

    visitor.send(f"/messages/{message.uuid}", f"/messages/{message.uuid}/revoke")

    [line] = site.running.lines("change.asked", message.uuid)
    assert line["action"] == "POST /messages/{uuid}/revoke"
    assert line["queue"] == "audited"
    assert line["key"] in site.keys["operate"]
    assert line["request_id"]
    assert "secret argument" not in site.running.process.log
