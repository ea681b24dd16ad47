"""Workers, tasks, and the form that is made of a task's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dashboard_site import visible

from alsek_api.dashboard.form import Form
from alsek_api.dashboard.schema_form import WrongInputError, arguments_of, inputs_of
from harness.eventually import eventually

if TYPE_CHECKING:
    from dashboard_site import Site

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "share": {"type": "number", "default": 0.5},
        "name": {"type": "string", "default": "Ada"},
        "loud": {"type": "boolean", "default": False},
        "size": {"$ref": "#/$defs/Size", "default": "m"},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        "anything": {"default": None},
        "key": {"type": "string", "x-kind": "keyword-only", "default": ""},
    },
    "required": ["count"],
    "additionalProperties": False,
    "$defs": {"Size": {"enum": ["s", "m", "l"]}},
}


def test_workers_are_shown_with_what_they_run(site: Site) -> None:
    site.open_shop()
    visitor = site.visitor("read")

    page = visible(visitor.page("/workers"))

    assert "of 8 slots busy" in page or "slots busy" in page
    assert "billing , mail , reports , search" in page


def test_tasks_are_listed_as_their_workers_describe_them(site: Site) -> None:
    site.open_shop()

    page = visible(site.visitor("read").page("/tasks"))

    assert "send_receipt Send the receipt of an order. mail thread" in page


def test_a_task_is_enqueued_by_its_form_and_runs(site: Site) -> None:
    site.open_shop()
    visitor = site.visitor("enqueue")

    fields = visitor.forms("/tasks/send_receipt")["/tasks/send_receipt"]
    answer = visitor.client.post(
        "/tasks/send_receipt", data=fields | {"p.order": "7", "p.to": "ada@example.com", "p.copy": "true"}
    )

    path = answer.headers["location"]
    assert path.startswith("/messages/")
    eventually(lambda: "succeeded" in visible(visitor.page(path)), timeout=30)


def test_what_was_typed_wrong_is_said_beside_its_field_and_nothing_is_enqueued(site: Site) -> None:
    site.open_shop()
    visitor = site.visitor("enqueue")
    fields = visitor.forms("/tasks/send_receipt")["/tasks/send_receipt"]

    answer = visitor.client.post("/tasks/send_receipt", data=fields | {"p.order": "seven", "p.to": 'a"<b>'})

    page = visible(answer.text)
    assert answer.status_code == 422
    assert "Nothing was enqueued: order has to be a whole number." in page
    assert 'value="a&#34;&lt;b&gt;"' in answer.text


def test_who_may_not_enqueue_sees_no_form(site: Site) -> None:
    site.open_shop()

    for kind in ("read", "operate"):
        assert "/tasks/send_receipt" not in site.visitor(kind).forms("/tasks/send_receipt")
    visitor = site.visitor("operate")
    assert visitor.client.post("/tasks/send_receipt", data={"token": visitor.token()}).status_code == 403


def test_a_task_that_nobody_published_is_not_there(site: Site) -> None:
    assert site.visitor("read").get("/tasks/nobody_knows_it").status_code == 404


def test_a_form_has_a_field_for_each_parameter_that_fits_its_type() -> None:
    kinds = {one.name: (one.kind, one.required) for one in inputs_of(SCHEMA)}

    assert kinds == {
        "count": ("integer", True), "share": ("number", False), "name": ("text", False), "loud": ("switch", False),
        "size": ("choice", False), "tags": ("json", False), "limit": ("integer", False), "anything": ("json", False),
        "key": ("text", False),
    }  # fmt: skip


def test_what_was_typed_becomes_arguments_of_the_right_types() -> None:
    typed = Form({
        "p.count": " 3 ", "p.share": "0.25", "p.name": "Bob & Carol", "p.loud": "true", "p.size": '"l"',
        "p.tags": '["a", 2]', "p.limit": "", "p.anything": '"text"', "p.key": "",
    })  # fmt: skip

    args, kwargs = arguments_of(typed, SCHEMA, 100)

    assert args == []
    assert kwargs == {
        "count": 3, "share": 0.25, "name": "Bob & Carol", "loud": True, "size": "l", "tags": ["a", 2],
        "anything": "text",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "typed", "why"),
    [
        ("p.count", "", "has to be given"),
        ("p.count", "1.5", "has to be a whole number"),
        ("p.share", "much", "has to be a number"),
        ("p.share", "nan", "has to be a number"),
        ("p.size", '"xxl"', "has to be one of these"),
        ("p.loud", "maybe", "has to be one of these"),
        ("p.tags", "[1, 2", "has to be JSON; a text needs quotes"),
        ("p.anything", "[" * 200 + "]" * 200, "has to be JSON; a text needs quotes"),
        ("more_args", "{}", "has to be a JSON list"),
        ("more_kwargs", '{"count": 1}', "count has a field of its own"),
    ],
)
def test_what_does_not_fit_is_said_of_its_field(field: str, typed: str, why: str) -> None:
    with pytest.raises(WrongInputError) as caught:
        arguments_of(Form({"p.count": "1", field: typed}), SCHEMA, 100)

    assert caught.value.errors == {field: why}


def test_parameters_by_position_only_keep_their_places() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "x-kind": "positional-only"},
            "b": {"type": "integer", "x-kind": "positional-only", "default": 2},
            "c": {"type": "integer", "default": 3},
        },
        "required": ["a"],
        "x-varargs": {},
    }

    assert arguments_of(Form({"p.a": "1"}), schema, 100) == ([1], {})
    assert arguments_of(Form({"p.a": "1", "p.c": "9"}), schema, 100) == ([1], {"c": 9})
    assert arguments_of(Form({"p.a": "1", "more_args": "[4, 5]"}), schema, 100) == ([1, 2, 3, 4, 5], {})


def test_a_task_without_a_description_takes_json() -> None:
    typed = Form({"more_args": "[1]", "more_kwargs": '{"x": null}'})

    assert arguments_of(typed, {"type": "object"}, 100) == ([1], {"x": None})
