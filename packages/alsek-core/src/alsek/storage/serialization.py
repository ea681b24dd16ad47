"""How user data becomes text: arguments, results, metadata, status details.

JSON by default, strictly: what would come back as something else is refused where the value enters, with its type and
its place, instead of arriving in a worker in another shape.
"""

from __future__ import annotations

import base64
import json
import math
import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

from alsek.exceptions import MissingExtraError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Serializer(ABC):
    """Turn values into text or bytes, and back."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @staticmethod
    @abstractmethod
    def forward(obj: Any) -> Any:
        """Return the value as text or bytes."""

    @staticmethod
    @abstractmethod
    def reverse(obj: Any) -> Any:
        """Return the value that `forward` was given; None for None."""


class JsonSerializer(Serializer):
    """JSON as the standard library writes it, without its surprises.

    As there, tuples become lists, and keys that are numbers, booleans or None become texts; integers of any size
    survive. NaN and infinity, which are no JSON, and texts that are no valid Unicode are refused.
    """

    @staticmethod
    def forward(obj: Any) -> str:
        """Return the value as compact JSON.

        Raises:
            SerializationError: JSON cannot hold the value; names the type and the place.
        """
        kind = obj.__class__
        try:
            # msgspec is ten times as fast, but lets more types pass than the standard library: only for what is flat.
            if (kind is tuple or kind is list) and _FLAT.issuperset(map(type, obj)):
                return _encode_flat(obj).decode()
            if kind in _FLAT or (
                kind is dict and _TEXT.issuperset(map(type, obj)) and _FLAT.issuperset(map(type, obj.values()))
            ):
                return _encode_flat(obj).decode()
            text = _STRICT.encode(obj)
            if not text.isascii():
                text.encode()
            return text
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            path, reason = _locate(obj) or ("", str(error))
            raise SerializationError(
                f"Cannot serialize the value{path and f' at {path}'}: {reason}", path=path, reason=reason
            ) from error

    @staticmethod
    def reverse(obj: Any) -> Any:
        """Return the value that the JSON stands for; None for None.

        Raises:
            SerializationError: This is no JSON.
        """
        if obj is None:
            return None
        try:
            return _decode(obj)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            pass
        try:
            # What upstream wrote may hold NaN or half of a surrogate pair.
            return json.loads(obj)
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(f"This is no JSON: {error}", reason=str(error)) from error


class BinarySerializer(Serializer):
    """Almost any Python object, by dill, in base64.

    Whoever can write to the backend can run code in every process that reads with this. It exists for programs that
    come from upstream; it needs the extra `dill`, and warns once.
    """

    _warned = False

    def __init__(self) -> None:
        if not BinarySerializer._warned:
            BinarySerializer._warned = True
            warnings.warn(
                "BinarySerializer runs code found in the backend: whoever can write there controls this process. "
                "Prefer JsonSerializer.",
                RuntimeWarning,
                stacklevel=2,
            )

    @staticmethod
    def forward(obj: Any) -> str:
        """Return the pickled value as text.

        Raises:
            SerializationError: dill cannot pickle the value.
            MissingExtraError: dill is not installed.
        """
        dill = _dill()
        try:
            return base64.b64encode(dill.dumps(obj)).decode()
        except Exception as error:
            raise SerializationError(f"Cannot pickle the value: {error}", path="", reason=str(error)) from error

    @staticmethod
    def reverse(obj: Any) -> Any:
        """Return the value that was pickled; None for None.

        Raises:
            SerializationError: The text is no pickled value, or its class cannot be imported here.
            MissingExtraError: dill is not installed.
        """
        if obj is None:
            return None
        dill = _dill()
        try:
            return dill.loads(base64.b64decode(obj, validate=True))
        except Exception as error:
            raise SerializationError(f"Cannot unpickle the value: {error}", reason=str(error)) from error


def _dill() -> Any:
    try:
        import dill
    except ImportError as error:
        raise MissingExtraError(
            "BinarySerializer needs dill: python -m pip install 'alsek-core[dill]'", extra="dill"
        ) from error
    return dill


_FLAT = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})
_SCALAR = (str, int, float, bool, type(None))
_encode_flat = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
# Without its check for cycles: these end in a RecursionError as well, and the check costs on every value.
_STRICT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))

#: Deeper than any JSON reader follows.
_DEEPEST = 500


def _locate(value: Any) -> tuple[str, str] | None:
    """Find the first place that JSON cannot hold, and say why."""
    pending: list[tuple[str, Any, frozenset[int]]] = [("", value, frozenset())]
    while pending:
        path, here, above = pending.pop()
        reason = _reason(here)
        if reason is None and id(here) in above:
            reason = "it contains itself"
        if reason is None and len(above) > _DEEPEST:
            path, reason = f"{path[:60]}…", f"it is nested more than {_DEEPEST} levels deep"
        if reason is not None:
            return path, reason
        pending.extend((path + step, child, above | {id(here)}) for step, child in _children(here))
    return None


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key in reversed(value):
            yield f"[{key!r:.60}]", _Key(key)
            yield f"[{key!r:.60}]", value[key]
    elif isinstance(value, list | tuple):
        for index in range(len(value) - 1, -1, -1):
            yield f"[{index}]", value[index]


class _Key:
    """A key on the way to be judged: it may be less than a value."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key


def _reason(value: Any) -> str | None:
    """Why JSON cannot hold this value itself, whatever it contains."""
    if isinstance(value, _Key):
        if not isinstance(value.key, _SCALAR):
            return f"a key is of type {_type_name(value.key)}, where JSON has only texts"
        value = value.key
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no JSON number"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return "the text is not valid Unicode (half of a surrogate pair)"
    if isinstance(value, int) and value.bit_length() > 10_000:
        return f"an integer of {value.bit_length():,} bits is too large to be read back"
    if isinstance(value, (*_SCALAR, list, tuple, dict)):
        return None
    return (
        f"{_type_name(value)} is not one of None, bool, int, float, str, list, tuple, dict; "
        "convert it first (a datetime: .isoformat())"
    )


def _type_name(value: Any) -> str:
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
