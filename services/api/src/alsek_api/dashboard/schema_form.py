"""A form made of a task's JSON Schema, and arguments made of what was typed into it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from alsek_api.bodies import read_json
from alsek_api.dashboard.wording import plain_json
from alsek_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from alsek_api.dashboard.form import Form

#: Field names begin so, to keep clear of those of the form itself.
PREFIX: Final = "p."

#: The fields for what has no name of its own.
MORE_ARGS: Final = "more_args"
MORE_KWARGS: Final = "more_kwargs"

Kind = Literal["text", "integer", "number", "switch", "choice", "json"]

_ABSENT: Final = object()


class WrongInputError(Exception):
    """A field does not hold what it should.

    Args:
        errors: What is wrong, by the name of the field.
    """

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in errors.items()))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Input:
    """One parameter as a field.

    Attributes:
        name: Of the parameter.
        kind: How it is typed in.
        type: In a few words, for people.
        required: Whether it has no default.
        default: As JSON; empty where there is none.
        options: Of a `choice`, as JSON.
        way: `keyword-only`, `positional-only`, or both: empty.
        about: What the schema says of it.
    """

    name: str
    kind: Kind
    type: str
    required: bool
    default: str = ""
    options: tuple[str, ...] = ()
    way: str = ""
    about: str = ""

    @property
    def field(self) -> str:
        """Name of its field."""
        return PREFIX + self.name


def inputs_of(schema: Mapping[str, Any]) -> list[Input]:
    """Give the fields for the parameters of a task, in their order."""
    required = set(schema.get("required", ()))
    definitions = schema.get("$defs", {})
    return [
        _input(name, _resolved(described, definitions), name in required)
        for name, described in schema.get("properties", {}).items()
        if isinstance(described, dict)
    ]


def takes_more(schema: Mapping[str, Any]) -> tuple[bool, bool]:
    """Tell whether a task takes further arguments: by position, and by name."""
    knows = "properties" in schema
    return not knows or "x-varargs" in schema, not knows or schema.get("additionalProperties", False) is not False


def arguments_of(form: Form, schema: Mapping[str, Any], max_depth: int) -> tuple[list[Any], dict[str, Any]]:
    """Make arguments of what was typed.

    Raises:
        WrongInputError: Says what is wrong with which field.
    """
    errors: dict[str, str] = {}
    inputs = inputs_of(schema)
    given = {one.name: _value(one, form, max_depth, errors) for one in inputs}
    more_args = _json_field(form, MORE_ARGS, [], max_depth, errors)
    more_kwargs = _json_field(form, MORE_KWARGS, {}, max_depth, errors)
    if errors:
        raise WrongInputError(errors)
    args, kwargs = _laid_out(inputs, given, by_position=bool(more_args), errors=errors)
    twice = sorted(kwargs.keys() & more_kwargs.keys())
    if twice:
        errors[MORE_KWARGS] = f"{', '.join(twice)} has a field of its own"
    if errors:
        raise WrongInputError(errors)
    return args + more_args, kwargs | more_kwargs


def _laid_out(
    inputs: list[Input], given: Mapping[str, Any], *, by_position: bool, errors: dict[str, str]
) -> tuple[list[Any], dict[str, Any]]:
    """Decide what goes by position: what has to, and all of it where further ones follow."""
    line = [one for one in inputs if one.way == "positional-only" or (by_position and one.way != "keyword-only")]
    last = len(line) if by_position else max((i + 1 for i, one in enumerate(line) if given[one.name] is not _ABSENT),
                                             default=0)  # fmt: skip
    args = []
    for one in line[:last]:
        value = given[one.name]
        if value is _ABSENT:
            if not one.default:
                errors[one.field] = "has to be given, because others follow it by position"
                continue
            value = json.loads(one.default)
        args.append(value)
    names = {one.name for one in line}
    kwargs = {one.name: given[one.name] for one in inputs if one.name not in names and given[one.name] is not _ABSENT}
    return args, kwargs


def _value(one: Input, form: Form, max_depth: int, errors: dict[str, str]) -> Any:
    typed = form.get(one.field, "")
    text = typed if one.kind == "text" else typed.strip()
    if not text:
        if one.required:
            errors[one.field] = "has to be given"
        return _ABSENT
    try:
        return _READ[one.kind](text, one, max_depth)
    except Problem:
        errors[one.field] = "has to be JSON; a text needs quotes"
    except ValueError:
        errors[one.field] = f"has to be {_ARTICLE.get(one.kind, 'one of these')}"
    return _ABSENT


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return int(number) if number.is_integer() and "." not in text and "e" not in text.lower() else number


def _chosen(text: str, options: tuple[str, ...]) -> Any:
    if text not in options:
        raise ValueError(text)
    return json.loads(text)


def _json_field(form: Form, name: str, nothing: Any, max_depth: int, errors: dict[str, str]) -> Any:
    text = form.get(name, "").strip()
    if not text:
        return nothing
    try:
        value = read_json(text.encode(), max_depth)
    except Problem as problem:
        errors[name] = str(problem.detail)
        return nothing
    if not isinstance(value, type(nothing)):
        errors[name] = "has to be a JSON list" if nothing == [] else "has to be a JSON object"
        return nothing
    return value


def _resolved(described: dict[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    for _ in range(5):
        reference = described.get("$ref", "")
        if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
            return described
        target = definitions.get(reference.removeprefix("#/$defs/"), {})
        described = {**target, **{name: value for name, value in described.items() if name != "$ref"}}
    return described


def _input(name: str, schema: dict[str, Any], required: bool) -> Input:
    kind, words = _kind(schema)
    options: tuple[str, ...] = ()
    if kind == "choice":
        options = tuple(json.dumps(one, ensure_ascii=False) for one in schema["enum"])
    if kind == "switch":
        options = ("true", "false")
    default = plain_json(schema["default"]) if "default" in schema else ""
    about = schema.get("description", "")
    return Input(
        name, kind, words, required, default, options, str(schema.get("x-kind", "")),
        about if isinstance(about, str) and kind != "json" else "",
    )  # fmt: skip


def _kind(schema: dict[str, Any]) -> tuple[Kind, str]:
    if isinstance(schema.get("enum"), list):
        return "choice", "choice"
    several = schema.get("anyOf")
    if isinstance(several, list):
        real = [one for one in several if isinstance(one, dict) and one.get("type") != "null"]
        if len(real) == 1 and len(several) == 2 and "default" in schema:  # leaving it empty stands for nothing
            kind, words = _kind(real[0])
            if kind not in ("choice", "json"):
                return kind, f"{words} or nothing"
        return "json", "JSON"
    match schema.get("type"):
        case "string":
            return "text", str(schema.get("format", "text"))
        case "integer":
            return "integer", "whole number"
        case "number":
            return "number", "number"
        case "boolean":
            return "switch", "yes or no"
        case "array":
            return "json", "JSON list"
        case "object":
            return "json", "JSON object"
    return "json", "JSON"


#: How what was typed is read: of the text, its input, and how deep JSON may nest.
_READ: Final[dict[Kind, Callable[[str, Input, int], Any]]] = {
    "text": lambda text, _one, _depth: text.replace("\r\n", "\n"),
    "integer": lambda text, _one, _depth: int(text),
    "number": lambda text, _one, _depth: _number(text),
    "switch": lambda text, one, _depth: _chosen(text, one.options),
    "choice": lambda text, one, _depth: _chosen(text, one.options),
    "json": lambda text, _one, depth: read_json(text.encode(), depth),
}

_ARTICLE: Final = {"integer": "a whole number", "number": "a number"}
