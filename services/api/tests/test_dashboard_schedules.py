"""Schedules in the browser: made, changed, paused, fired and deleted by plain forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dashboard_site import visible

from alsek.core.schedules import ScheduleStore
from alsek.core.triggers import CronTrigger, IntervalTrigger
from alsek.exceptions import ScheduleNotFoundError

if TYPE_CHECKING:
    from dashboard_site import Site

TYPED = {
    "id": "report-nightly", "task": "report", "queue": "reports-of-night", "kind": "cron",
    "expression": "30 2 * * *", "timezone": "Europe/Vienna", "args": '["2026"]', "kwargs": '{"deep": true}',
    "misfire": "skip", "overlap": "queue_one", "grace": "5", "priority": "3",
}  # fmt: skip


@pytest.fixture
def store(site: Site) -> ScheduleStore:
    return ScheduleStore(site.stage.broker)


def test_a_schedule_is_made_by_the_form(site: Site, store: ScheduleStore) -> None:
    page = site.visitor("operate").send("/schedules/new", "/schedules", **TYPED)

    made = store.get("report-nightly")
    assert "Schedule report-nightly is made." in page
    assert "02:30:00 CE" in page
    assert made.trigger.data() == CronTrigger("30 2 * * *", "Europe/Vienna").data()
    assert (list(made.args or ()), made.kwargs, made.priority) == (["2026"], {"deep": True}, 3)
    assert (made.policy.misfire, made.policy.overlap, made.policy.grace_ms) == ("skip", "queue_one", 300_000)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({"expression": "61 * * * *"}, "61"),
        ({"timezone": "Middle/Earth"}, "Middle/Earth"),
        ({"kind": "interval", "every": "0", "unit": "seconds"}, "an interval has to be 1 ms at least"),
        ({"kind": "interval", "every": "soon", "unit": "seconds"}, "an interval is a number of"),
        ({"kind": "date", "run_date": "2001-01-01T00:00"}, "has no instant left"),
        ({"kind": "date", "run_date": ""}, "say on which day"),
        ({"args": "[1"}, "no JSON"),
        ({"args": "{}"}, "are a list"),
        ({"grace": "long"}, "number of minutes"),
        ({"id": "no {name}"}, "schedule id"),
        ({"misfire": "twice"}, "misfire policy"),
    ],
)
def test_what_makes_no_schedule_is_said_and_what_was_typed_stays(site: Site, typed: dict[str, str], why: str) -> None:
    visitor = site.visitor("operate")
    fields = visitor.forms("/schedules/new")["/schedules"] | TYPED | {"id": "wrong-one"} | typed

    answer = visitor.client.post("/schedules", data=fields)

    assert answer.status_code in (400, 422)
    assert why in visible(answer.text)
    assert 'value="reports-of-night"' in answer.text
    assert visitor.get("/schedules/wrong-one").status_code == 404


def test_a_schedule_is_changed_by_its_form_and_the_rest_of_it_stays(site: Site, store: ScheduleStore) -> None:
    store.create("changing", "report", IntervalTrigger(minutes=5), queue="changing", timeout=1_234, args=[1])

    page = site.visitor("operate").send(
        "/schedules/changing/edit", "/schedules/changing/edit", kind="interval", every="2", unit="hours"
    )

    changed = store.get("changing")
    assert "Schedule changing is changed." in page
    assert changed.trigger.data()["every_ms"] == 7_200_000
    assert (changed.timeout, list(changed.args or ())) == (1_234, [1])


def test_two_who_edit_at_once_do_not_overwrite_each_other(site: Site, store: ScheduleStore) -> None:
    store.create("contested", "report", IntervalTrigger(minutes=5), queue="contested", priority=1)
    mine, theirs = site.visitor("operate"), site.visitor("admin")
    my_fields = mine.forms("/schedules/contested/edit")["/schedules/contested/edit"]
    theirs.send("/schedules/contested/edit", "/schedules/contested/edit", priority="7")

    answer = mine.client.post("/schedules/contested/edit", data=my_fields | {"priority": "2"})

    assert answer.status_code == 409
    assert "Somebody else changed it since you opened it. Nothing was saved" in visible(answer.text)
    assert store.get("contested").priority == 7


def test_the_next_fires_are_previewed_without_a_script(site: Site) -> None:
    visitor = site.visitor("operate")

    page = visitor.send("/schedules/new", "/schedules", **TYPED | {"id": "only-looking", "do": "preview"})
    piece = visitor.get("/schedules/preview", params=TYPED)

    assert page.count("02:30:00") == 10
    assert visible(piece.text).count("02:30:00") == 10
    assert visitor.get("/schedules/only-looking").status_code == 404


def test_a_schedule_is_paused_resumed_fired_and_deleted(site: Site, store: ScheduleStore) -> None:
    store.create("busy-one", "report", IntervalTrigger(hours=1), queue="busy-queue", kwargs={"x": 1})
    visitor = site.visitor("operate")
    path = "/schedules/busy-one"

    assert "is paused" in visitor.send(path, f"{path}/pause")
    assert store.get("busy-one").state == "paused"
    assert "goes on" in visitor.send(path, f"{path}/resume")
    assert store.get("busy-one").state == "active"
    assert "Fired by hand" in visitor.send("/schedules", f"{path}/fire")
    assert site.inspector.queue("busy-queue").ready == 1
    assert "is deleted" in visitor.send(path, f"{path}/delete")
    with pytest.raises(ScheduleNotFoundError):
        store.get("busy-one")


def test_a_reader_sees_schedules_and_no_buttons(site: Site, store: ScheduleStore) -> None:
    store.create("read-only", "report", IntervalTrigger(hours=1), queue="anywhere")
    visitor = site.visitor("read")

    assert "every 1 hour" in visible(visitor.page("/schedules/read-only"))
    for path in ("/schedules", "/schedules/read-only"):
        assert set(visitor.forms(path)) == {"/logout"}
    assert visitor.get("/schedules/new").status_code == 403
    assert visitor.get("/schedules/read-only/edit").status_code == 403
    for action in ("pause", "resume", "fire", "delete", "edit"):
        answer = visitor.client.post(f"/schedules/read-only/{action}", data={"token": visitor.token()})
        assert answer.status_code == 403


def test_a_limited_key_makes_schedules_for_its_queues_only(site: Site, store: ScheduleStore) -> None:
    store.create("mail-daily", "report", IntervalTrigger(hours=1), queue="mail-a")
    store.create("vault-daily", "report", IntervalTrigger(hours=1), queue="vault")
    visitor = site.visitor("mail")
    fields = visitor.forms("/schedules/new")["/schedules"] | TYPED | {"id": "sneaky", "queue": "vault"}

    page = visitor.page("/schedules")
    answer = visitor.client.post("/schedules", data=fields)

    assert "mail-daily" in page
    assert "vault-daily" not in page
    assert visitor.get("/schedules/vault-daily").status_code == 404
    assert answer.status_code == 404
    with pytest.raises(ScheduleNotFoundError):
        store.get("sneaky")
