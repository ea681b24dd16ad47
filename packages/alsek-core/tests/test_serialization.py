"""Strict JSON: what goes in comes out, or is refused with its type and place."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import enum
import json
import uuid
import warnings
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alsek.exceptions import SerializationError, ValidationError
from alsek.storage.serialization import BinarySerializer, JsonSerializer, Serializer

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 7


class Word(enum.StrEnum):
    YES = "yes"


@given(JSON)
def test_what_json_holds_survives(value: Any) -> None:
    assert JsonSerializer.reverse(JsonSerializer.forward(value)) == value


@given(JSON)
def test_the_text_is_what_the_standard_library_reads(value: Any) -> None:
    assert json.loads(JsonSerializer.forward(value)) == value


@given(JSON)
def test_what_the_standard_library_wrote_is_read(value: Any) -> None:
    assert JsonSerializer.reverse(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ((1, (2,)), [1, [2]]),
        ({1: "a", None: "b", False: "c", 2.5: "d"}, {"1": "a", "null": "b", "false": "c", "2.5": "d"}),
        (OrderedDict(a=1), {"a": 1}),
        (namedtuple("Point", "x y")(1, 2), [1, 2]),
        ([Level.HIGH, Word.YES], [7, "yes"]),
        (2**64, 2**64),
        ([-(2**200), 2**200], [-(2**200), 2**200]),
        ("grüße 🎉", "grüße 🎉"),
        ([1, "\x00"], [1, "\x00"]),
    ],
)
def test_the_surprises_are_those_of_the_standard_library(value: Any, arrives: Any) -> None:
    back = JsonSerializer.reverse(JsonSerializer.forward(value))

    assert back == arrives == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC), "datetime.datetime"),
        (datetime.timedelta(1), "datetime.timedelta"),
        (uuid.UUID(int=1), "uuid.UUID"),
        (decimal.Decimal(1), "decimal.Decimal"),
        (Color.RED, "Color"),
        ({1, 2}, "set"),
        (b"x", "bytes"),
        (bytearray(b"x"), "bytearray"),
        (1j, "complex"),
        (object(), "object"),
        (len, "builtin_function_or_method"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda value: value, ""),
        (lambda value: (value,), "[0]"),
        (lambda value: [1, {"when": value}], "[1]['when']"),
        (lambda value: {"a": {"b": [0, [value]]}}, "['a']['b'][1][0]"),
    ],
)
def test_other_types_are_refused_with_type_and_place(value: Any, names: str, wrap: Any, path: str) -> None:
    with pytest.raises(SerializationError) as caught:
        JsonSerializer.forward(wrap(value))

    assert names in str(caught.value)
    assert caught.value.path == path
    assert path in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_no_json_are_refused(value: float) -> None:
    for wrapped in (value, [value], {"a": value}, {value: 1}):
        with pytest.raises(SerializationError, match="is no JSON number"):
            JsonSerializer.forward(wrapped)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: [s], lambda s: {"a": s}, lambda s: {s: 1}, lambda s: [[s]]])
def test_half_of_a_surrogate_pair_is_refused(wrap: Any) -> None:
    with pytest.raises(SerializationError, match="surrogate"):
        JsonSerializer.forward(wrap("a\ud800"))


def test_keys_that_are_no_texts_are_refused() -> None:
    with pytest.raises(SerializationError, match="a key is of type tuple") as caught:
        JsonSerializer.forward([{(1, 2): 3}])

    assert caught.value.path == "[0][(1, 2)]"


def test_a_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {"a": []}
    value["a"].append(value)

    with pytest.raises(SerializationError, match="contains itself"):
        JsonSerializer.forward(value)


def test_a_value_that_is_there_twice_is_fine() -> None:
    inner = [1.5]

    assert JsonSerializer.forward([inner, inner]) == "[[1.5],[1.5]]"


def test_a_value_nested_too_deep_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(SerializationError, match="levels deep"):
        JsonSerializer.forward(value)
    # Freeing so deep a list recurses in the interpreter otherwise.
    while value:
        value = value.pop()


def test_an_integer_too_long_to_be_read_back_is_refused() -> None:
    with pytest.raises(SerializationError, match="bits is too large"):
        JsonSerializer.forward([10**5_000])


@pytest.mark.parametrize(
    "text",
    ["", "[1", "nope", b"\xff", "{'a': 1}", "[" * 100_000, "9" * 5_000, 7, [1], "\ufeff[]"],
    ids=lambda text: repr(text)[:12],
)
def test_what_is_no_json_is_refused(text: Any) -> None:
    with pytest.raises(SerializationError):
        JsonSerializer.reverse(text)


@given(st.binary() | st.text())
def test_garbage_never_raises_anything_else(text: bytes | str) -> None:
    with contextlib.suppress(SerializationError):
        JsonSerializer.reverse(text)


def test_text_and_bytes_are_read_alike() -> None:
    assert JsonSerializer.reverse(b'{"a":[1]}') == JsonSerializer.reverse('{"a":[1]}') == {"a": [1]}


def test_none_stands_for_nothing_stored() -> None:
    assert JsonSerializer.reverse(None) is None
    assert BinarySerializer.reverse(None) is None


def test_what_upstream_stored_is_read() -> None:
    assert JsonSerializer.reverse('"\\ud800"') == "\ud800"
    assert JsonSerializer.reverse("[1e400]") == [float("inf")]


def test_a_serialization_error_is_also_what_upstream_raised() -> None:
    for expected in (TypeError, ValueError, ValidationError):
        with pytest.raises(expected):
            JsonSerializer.forward({1, 2})


def test_binary_serialization_warns_once_and_keeps_types(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dill")
    monkeypatch.setattr(BinarySerializer, "_warned", False)

    with pytest.warns(RuntimeWarning, match="runs code"):
        serializer: Serializer = BinarySerializer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BinarySerializer()

    value = {"when": datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC), "what": (1, {2})}
    assert serializer.reverse(serializer.forward(value)) == value


def test_binary_garbage_is_a_serialization_error() -> None:
    pytest.importorskip("dill")

    for text in ("", "%%%", "aGVsbG8="):
        with pytest.raises(SerializationError):
            BinarySerializer.reverse(text)


def test_without_dill_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dill", None)

    with pytest.raises(ImportError, match=r"alsek-core\[dill\]"):
        BinarySerializer.forward(1)
