"""The stored form: small, exact, readable by neighbouring releases, and typed errors for all else."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alsek.core.message import Message
from alsek.core.record import VERSION, pack, unpack
from alsek.exceptions import (
    CorruptMessageError,
    PayloadTooLargeError,
    SerializationError,
    UnsupportedMessageVersionError,
)
from alsek.storage.serialization import JsonSerializer
from alsek.types import ExceptionDetails

JSON = JsonSerializer()

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
DICTS = st.dictionaries(TEXTS, VALUES, max_size=3)
IDS = st.from_regex(r"[a-z0-9\-]{1,40}", fullmatch=True)
BACKOFFS = st.fixed_dictionaries(
    {
        "algorithm": IDS,
        "parameters": st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(-(2**63), 2**63) | TEXTS),
    }
)


def callback_data(message: Message) -> dict[str, Any]:
    return message.data | {"args": list(message.args)}


MESSAGES = st.deferred(
    lambda: st.builds(
        Message,
        task_name=IDS,
        queue=st.none() | IDS,
        args=st.lists(VALUES, max_size=3),
        kwargs=DICTS,
        priority=st.integers(0, 4095),
        metadata=st.none() | DICTS,
        exception_details=st.none() | st.builds(ExceptionDetails, IDS, st.none() | TEXTS),
        result_ttl=st.none() | st.integers(1, 10**9),
        uuid=IDS,
        progenitor_uuid=st.none() | IDS,
        retries=st.integers(0, 100),
        timeout=st.integers(1, 10**9),
        created_at=st.integers(0, 2**41),
        updated_at=st.integers(0, 2**41),
        delay=st.integers(0, 10**9),
        previous_result=VALUES,
        previous_message_uuid=st.none() | IDS,
        callback_message_data=st.none() | MESSAGES.map(callback_data),
        backoff_settings=st.none() | BACKOFFS,
        mechanism=st.sampled_from(["process", "thread", "async"]),
        linked_lock=st.none() | st.just({"name": "a", "owner_id": "b"}),
    )
)


def reopened(message: Message, body: bytes, serializer: Any = JSON) -> Message:
    """As the backend does: the fields that are kept beside the body are given back beside it."""
    return unpack(
        body,
        task_name=message.task_name,
        uuid=message.uuid,
        priority=message.priority,
        retries=message.retries,
        exception_details=message.exception_details,
        serializer=serializer,
    )


def body_of(fields: Any) -> bytes:
    return bytes([VERSION]) + msgspec.msgpack.encode(fields)


def opened(body: bytes) -> Message:
    return unpack(body, task_name="add", uuid="u", serializer=JSON)


@given(MESSAGES)
def test_every_message_survives(message: Message) -> None:
    back = reopened(message, pack(message, JSON))

    assert back.data == message.data
    assert Message(**back.data).data == message.data


def test_a_small_message_fits_into_a_compact_hash() -> None:
    message = Message("add", queue="math_ops", args=(1, 2))
    explicit = Message(**message.data)

    assert len(pack(message, JSON)) <= 24
    assert pack(explicit, JSON) == pack(message, JSON)


def test_a_time_that_the_uuid_does_not_tell_is_stored() -> None:
    message = Message("add", queue="math_ops", args=(1, 2), uuid="mine")

    assert reopened(message, pack(message, JSON)).created_at == message.created_at


def test_the_format_of_version_1_stays_as_it_is() -> None:
    message = Message("add", queue="q", args=(1,), kwargs={"b": 2}, created_at=5, updated_at=6, timeout=7)

    body = pack(message, JSON)

    assert body[:1] == b"\x01"
    assert msgspec.msgpack.decode(body[1:]) == {"q": "q", "c": 5, "u": 6, "t": 7, "a": "[1]", "k": '{"b":2}'}


def test_fields_of_a_newer_release_are_kept_and_written_again() -> None:
    body = body_of({"q": "q", "c": 1, "a": "[1]", "Z": {"new": [1, b"x"]}})

    message = opened(body)

    assert message.args == (1,)
    assert msgspec.msgpack.decode(pack(message, JSON)[1:])["Z"] == {"new": [1, b"x"]}
    assert msgspec.msgpack.decode(pack(message.clone().increment_retries(), JSON)[1:])["Z"] == {"new": [1, b"x"]}
    assert list(message.data) == list(Message("add").data)


def test_a_newer_version_is_told_apart_from_garbage() -> None:
    with pytest.raises(UnsupportedMessageVersionError, match="upgrade the workers") as caught:
        opened(b"\x02anything")

    assert caught.value.version == 2
    assert caught.value.uuid == "u"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\x01",
        b"\x01\xc1",
        b"\x01\x80",
        b"\x01" + b"\x91" * 100_000,
        b"\x01\xdd\xff\xff\xff\xff",
        pack(Message("add"), JSON) + b"\x00",
        pack(Message("add"), JSON)[:-1],
        body_of([1, 2]),
        body_of({"q": "q"}),
        body_of({"q": 1, "c": 1}),
        body_of({"q": "q", "c": "now"}),
        body_of({"q": "q", "c": True}),
        body_of({"q": "q", "c": 1, "a": "{}"}),
        body_of({"q": "q", "c": 1, "a": "[1"}),
        body_of({"q": "q", "c": 1, "a": None}),
        body_of({"q": "q", "c": 1, "a": [1]}),
        body_of({"q": "q", "c": 1, "k": "[]"}),
        body_of({"q": "q", "c": 1, "m": "1"}),
        body_of({"q": "q", "c": 1, "n": '"x"'}),
        body_of({"q": "q", "c": 1, "r": "NaNa"}),
        body_of({"q": "q", "c": 1, "b": ["A"]}),
        body_of({"q": "q", "c": 1, "b": [1, {}]}),
        body_of({1: 2}),
    ],
    ids=lambda body: repr(body[:16]),
)
def test_garbage_is_a_corrupt_message(body: bytes) -> None:
    with pytest.raises(CorruptMessageError) as caught:
        opened(body)

    assert caught.value.uuid == "u"
    assert "u" in str(caught.value)


@settings(max_examples=500)
@given(st.binary() | st.binary().map(lambda tail: b"\x01" + tail))
@example(b"\x01\x81\xa1q\xd6\xff\x00\x00\x00\x00")
@example(b"\x01\x81\xa1q\xc7\x00\x05")
def test_bytes_from_anywhere_raise_typed_errors_only(body: bytes) -> None:
    with contextlib.suppress(CorruptMessageError, UnsupportedMessageVersionError):
        opened(body)


@settings(max_examples=300)
@given(st.data(), MESSAGES)
def test_flipped_bits_raise_typed_errors_only(data: st.DataObject, message: Message) -> None:
    body = bytearray(pack(message, JSON))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] ^= data.draw(st.integers(1, 255))

    try:
        back = reopened(message, bytes(body))
    except (CorruptMessageError, UnsupportedMessageVersionError):
        return
    assert isinstance(repr(back), str)


def test_an_argument_that_json_cannot_hold_is_named_with_task_and_place() -> None:
    message = Message("add", args=(1, {"when": {2}}))

    with pytest.raises(SerializationError) as caught:
        pack(message, JSON)

    assert str(caught.value).startswith(f"Cannot serialize args[1]['when'] of {message.summary}: set is not one of")
    assert caught.value.path == "args[1]['when']"


@pytest.mark.parametrize("field", ["kwargs", "metadata", "previous_result", "callback_message_data"])
def test_whatever_user_data_cannot_be_held_is_named(field: str) -> None:
    value = {"task_name": "a", "uuid": "b", "x": object()}

    with pytest.raises(SerializationError, match=rf"{field}\['x'\]"):
        pack(Message("add", **{field: value}), JSON)


def test_a_field_set_to_nonsense_later_is_a_serialization_error() -> None:
    for value in (2**70, object(), "\ud800"):
        message = Message("add")
        message.timeout = value  # type: ignore[assignment]

        with pytest.raises(SerializationError, match="Cannot store"):
            pack(message, JSON)


def test_a_message_above_the_limit_is_refused_with_both_sizes() -> None:
    message = Message("add", args=("x" * 2_000,))

    with pytest.raises(PayloadTooLargeError, match="more than the 1,000 allowed") as caught:
        pack(message, JSON, max_bytes=1_000)

    assert caught.value.limit == 1_000
    assert caught.value.size is not None
    assert caught.value.size > 2_000


def test_the_limit_is_one_mebibyte_unless_told() -> None:
    pack(Message("add", args=("x" * 1_000_000,)), JSON)
    with pytest.raises(PayloadTooLargeError):
        pack(Message("add", args=("x" * 1_048_576,)), JSON)


class Rot13(JsonSerializer):
    """A serializer of the user's own, which gives bytes."""

    @staticmethod
    def forward(obj: Any) -> Any:
        return base64.b85encode(JsonSerializer.forward(obj).encode())

    @staticmethod
    def reverse(obj: Any) -> Any:
        return None if obj is None else JsonSerializer.reverse(base64.b85decode(obj))


def test_user_data_passes_through_the_given_serializer() -> None:
    message = Message("add", args=("secret",), kwargs={"a": "secret"}, metadata={"b": "secret"})

    body = pack(message, Rot13())

    assert b"secret" not in body
    assert reopened(message, body, Rot13()).data == message.data


class Broken(JsonSerializer):
    @staticmethod
    def forward(obj: Any) -> Any:
        return obj

    @staticmethod
    def reverse(obj: Any) -> Any:
        raise RuntimeError("boom")


def test_a_broken_serializer_is_a_typed_error_in_both_directions() -> None:
    message = Message("add", args=(1,))

    with pytest.raises(SerializationError, match="neither text nor bytes"):
        pack(message, Broken())
    with pytest.raises(CorruptMessageError, match="boom"):
        reopened(message, pack(message, JSON), Broken())
