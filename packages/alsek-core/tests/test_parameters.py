"""What a signature says as JSON Schema, and that the schema accepts what the function takes."""

from __future__ import annotations

import datetime as dt  # noqa: TC003  (the function under test finds it here)
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import jsonschema
import msgspec
import pytest

from alsek.core.parameters import schema_of

if TYPE_CHECKING:
    from collections import OrderedDict as OnlyForTypeCheckers


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Address:
    street: str
    zip: int = 0


Options = TypedDict("Options", {"fast": bool})  # noqa: UP013  (its field is no unused name then)


class Foreign:
    """Of no kind that JSON knows."""


def nothing() -> None: ...


def plain(a: int, b: str = "x", *, c: float | None = None) -> None: ...


def rich(address: Address, colour: Colour, when: dt.datetime, how: Literal["air", "sea"], options: Options) -> None: ...


def loose(a, b=3, *rest: int, **more: str) -> None: ...  # type: ignore[no-untyped-def]  # as users write


def strange(a: Foreign, b: OnlyForTypeCheckers, c: NoSuchName, d: list[int]) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def by_position(a: int, /, b: int) -> None: ...


def with_message(a: int, message: Any) -> None: ...


def valid(schema: dict[str, Any], value: Any) -> bool:
    jsonschema.Draft202012Validator.check_schema(schema)
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def test_names_types_defaults_and_what_is_needed_are_told() -> None:
    schema = schema_of(plain)

    assert schema == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string", "default": "x"},
            "c": {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None, "x-kind": "keyword-only"},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert valid(schema, {"a": 1, "c": 2.5})
    assert not valid(schema, {"a": "one"})
    assert not valid(schema, {"b": "x"})
    assert not valid(schema, {"a": 1, "d": 2})


def test_classes_are_described_once_below() -> None:
    schema = schema_of(rich)
    good = {
        "address": {"street": Address("High").street, "zip": 3}, "colour": "red", "how": "air",
        "when": "2026-01-01T00:00:00Z", "options": {"fast": True},
    }  # fmt: skip

    assert {"Address", "Options"} <= schema["$defs"].keys()
    assert valid(schema, good)
    assert not valid(schema, good | {"how": "road"})
    assert not valid(schema, good | {"address": {"zip": 3}})


@pytest.mark.parametrize("function", [nothing, len, print, type("Callable", (), {"__call__": lambda self: None})()])
def test_everything_callable_has_a_schema(function: Any) -> None:
    assert schema_of(function)["type"] == "object"
    msgspec.json.encode(schema_of(function))


def test_what_is_not_said_may_be_anything() -> None:
    schema = schema_of(loose)

    assert schema["properties"] == {"a": {}, "b": {"default": 3}}
    assert schema["x-varargs"] == {"type": "integer"}
    assert schema["additionalProperties"] == {"type": "string"}


def test_an_annotation_that_cannot_be_described_hides_no_other() -> None:
    assert schema_of(strange)["properties"] == {
        "a": {}, "b": {}, "c": {}, "d": {"type": "array", "items": {"type": "integer"}},
    }  # fmt: skip


def test_what_goes_by_position_only_says_so() -> None:
    assert schema_of(by_position)["properties"]["a"] == {"type": "integer", "x-kind": "positional-only"}


def test_what_the_worker_fills_in_is_left_out() -> None:
    assert schema_of(with_message, frozenset({"message"}))["properties"].keys() == {"a"}


def test_a_default_that_json_cannot_hold_is_not_told() -> None:
    def odd(a: Any = Foreign(), b: set[int] = {3}, c: str = "x" * 2_000) -> None: ...  # noqa: B006, B008

    assert schema_of(odd)["properties"]["a"] == {}
    assert "default" not in schema_of(odd)["properties"]["c"]
    assert schema_of(odd)["properties"]["b"]["default"] == [3]


def test_a_class_that_describes_itself_is_believed() -> None:
    class Model:
        @staticmethod
        def model_json_schema(ref_template: str) -> dict[str, Any]:
            part = {"type": "integer"}
            return {
                "type": "object",
                "properties": {"n": {"$ref": ref_template.format(model="N")}},
                "$defs": {"N": part},
            }

    def takes(one: Model) -> None: ...

    takes.__annotations__["one"] = Model
    schema = schema_of(takes)

    assert valid(schema, {"one": {"n": 1}})
    assert not valid(schema, {"one": {"n": "x"}})
