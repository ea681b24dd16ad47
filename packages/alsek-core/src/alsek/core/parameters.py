"""What a function takes, as JSON Schema: for those who fill in a form, or write a request, without its source."""

from __future__ import annotations

import inspect
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_REFERENCE: Final = "#/$defs/{name}"

#: Said where a parameter cannot be given in both ways.
_KINDS: Final = {
    inspect.Parameter.POSITIONAL_ONLY: "positional-only",
    inspect.Parameter.KEYWORD_ONLY: "keyword-only",
}


def schema_of(function: Callable[..., Any], injected: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Describe the parameters of a function, by name and in their order, as a JSON Schema (2020-12) of an object.

    What no schema says (an annotation of a foreign class, or none) is `{}`: anything. `*args` is described under
    `x-varargs`, and a parameter that goes by position or by name only says so under `x-kind`.

    Args:
        function: Of a task.
        injected: Parameters that no caller fills.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some builtins do not tell
        return {"type": "object"}
    hints = _hints(function)
    definitions: dict[str, Any] = {}
    schema: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for parameter in parameters:
        if parameter.name in injected:
            continue
        described = _described(hints.get(parameter.name, Any), definitions)
        if parameter.kind is parameter.VAR_KEYWORD:
            schema["additionalProperties"] = described or True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            schema["x-varargs"] = described
        else:
            if parameter.default is parameter.empty:
                schema["required"].append(parameter.name)
            else:
                described = described | _default(parameter.default)
            if parameter.kind in _KINDS:
                described = described | {"x-kind": _KINDS[parameter.kind]}
            schema["properties"][parameter.name] = described
    if definitions:
        schema["$defs"] = definitions
    return schema


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types; one that cannot be found here (imported for type checkers only) is left out."""
    function = inspect.unwrap(function)
    found: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        # Each by itself: one that is wrong must not hide the others.
        alone = type("_Alone", (), {"__annotations__": {name: annotation}})
        with suppress(Exception):  # an annotation is any expression
            found |= typing.get_type_hints(alone, getattr(function, "__globals__", {}), include_extras=True)
    return found


def _described(annotation: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if annotation in (Any, inspect.Parameter.empty):
        return {}
    own = getattr(annotation, "model_json_schema", None)
    try:
        if callable(own):  # pydantic's models know it themselves
            schema = dict(own(ref_template="#/$defs/{model}"))
            definitions |= schema.pop("$defs", {})
            definitions[annotation.__name__] = schema
            return {"$ref": _REFERENCE.format(name=annotation.__name__)}
        (schema,), components = msgspec.json.schema_components([annotation], ref_template=_REFERENCE)
    except Exception:  # noqa: BLE001  (a class that msgspec does not know, or whose own description fails)
        return {}
    definitions |= components
    return dict(schema)


def _default(value: Any) -> dict[str, Any]:
    try:
        return {"default": msgspec.to_builtins(value)} if len(msgspec.json.encode(value)) <= 1_000 else {}
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError):
        return {}
