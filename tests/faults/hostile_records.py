"""Records that no producer of ours would write: what somebody else, a bug or a newer release may leave in Redis."""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from alsek.core.backoff import ConstantBackoff
from alsek.core.ids import new_uuid
from alsek.core.record import LAST_VERSION, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from alsek.storage.keys import Keys

#: What is to become of it. `any`: it runs or dies, as it likes. `dropped`: it is left for `fsck`. `later`: it fails and
#: is to be tried again.
DEAD, RUNS, WAITS, DROPPED, ANY, LATER = "dead", "runs", "waits", "dropped", "any", "later"

_encode = msgspec.msgpack.encode
_BACKOFF = ConstantBackoff(1, floor=0, zero_override=False).settings


@dataclass(frozen=True, slots=True)
class Hostile:
    """One record.

    Attributes:
        name: What is wrong with it.
        fields: Of its hash; empty for `kind` other than that.
        fate: See above.
        reason: Why it is dead, if it is to be.
        text: Part of what its dead letter says.
        kind: Redis type of its key.
        uuid: Its id.
    """

    name: str
    fields: dict[str, Any]
    fate: str = DEAD
    reason: str = "corrupt"
    text: str = "cannot be read"
    kind: str = "hash"
    uuid: Any = field(default_factory=new_uuid)


def corpus(queue: str, task: str) -> list[Hostile]:
    """Everything, for one queue; `task` is one that its workers know."""
    return [
        *_bodies(queue, task),
        *_contents(queue, task),
        *_values(queue, task),
        *_fields(queue, task),
        *_ids(queue, task),
    ]


def plant(client: Redis, keys: Keys, queue: str, record: Hostile) -> None:
    """Write it where a message would be, ready to be claimed."""
    uuid = record.uuid if isinstance(record.uuid, bytes) else record.uuid.encode()
    tag = keys.tag(0).encode()
    name = tag + b"m:" + uuid
    if record.kind == "hash":
        client.hset(name, mapping=record.fields)
    elif record.kind == "string":
        client.set(name, "rubbish")
    elif record.kind == "list":
        client.rpush(name, "rubbish")
    elif record.kind == "set":
        client.sadd(name, "rubbish")
    client.sadd(tag + b"queues", queue)
    client.zadd(tag + b"r:" + queue.encode(), {uuid: 0})


def body(queue: str, version: int = VERSION, **fields: Any) -> bytes:
    """A body as ours, but for the fields given; `None` leaves one out."""
    whole = {"q": queue, "k": '{"how":"none"}', "b": [_BACKOFF["algorithm"], _BACKOFF["parameters"]]} | fields
    return bytes([version]) + _encode({key: value for key, value in whole.items() if value is not None})


def _hash(task: str, packed: bytes, **fields: Any) -> dict[str, Any]:
    return {"b": packed, "T": task, "s": "r"} | fields


def _bodies(queue: str, task: str) -> Iterator[Hostile]:
    """Bytes that are no body."""
    good = body(queue)
    for name, packed in {
        "empty": b"",
        "one NUL": b"\0",
        "version only": bytes([VERSION]),
        "JSON": b'{"queue": "q", "args": []}',
        "a pickle": pickle.dumps({"queue": queue}, protocol=0),
        "a text": b"hello",
        "a list": bytes([VERSION]) + _encode([1, 2, 3]),
        "a number": bytes([VERSION]) + _encode(7),
        "keys that are numbers": bytes([VERSION]) + _encode({1: 2}),
        "endless": bytes([VERSION]) + b"\xdf\xff\xff\xff\xff",
        "a long text that is not there": bytes([VERSION]) + b"\x81\xa1q\xdb\xff\xff\xff\xff",
        "nested maps": bytes([VERSION]) + b"\x81\xa1q" * 100_000,
        "nested lists": bytes([VERSION]) + b"\x81\xa1z" + b"\x91" * 100_000 + b"\x90",
        "not UTF-8": bytes([VERSION]) + b"\x81\xa1q\xa2\xff\xfe",
        "half of a surrogate pair": bytes([VERSION]) + b"\x81\xa1q\xa3\xed\xa0\x80",
        "something behind it": good + b"\x00",
        "twice": good + good[1:],
        "an extension": bytes([VERSION]) + b"\x81\xa1q\xc7\x01\x05x",
    }.items():
        yield Hostile(f"body: {name}", _hash(task, packed))
    for length in range(1, len(good), max(1, len(good) // 12)):
        yield Hostile(f"body: truncated to {length}", _hash(task, good[:length]))
    for version in (VERSION + 1, 9, LAST_VERSION):
        yield Hostile(f"version {version}", _hash(task, body(queue, version=version)), fate=WAITS)
    yield Hostile("version 2, not MessagePack", _hash(task, b"\x02\xff\x00\xfe"), fate=WAITS)
    yield Hostile("a key of a newer release", _hash(task, body(queue, zz=[1])), fate=RUNS)


def _contents(queue: str, task: str) -> Iterator[Hostile]:
    """Bodies whose fields are of the wrong type, or out of their range."""
    for key, values in {
        "q": (None, 7, b"bytes"),
        "c": ("soon", 1.5, -1, 2**63),
        "u": ("soon", [], -1),
        "t": ("long", 0, -5, 2**63, 1.5, True, 10**17),
        "h": (3, b"thread"),
        "d": ("later", -1),
        "v": ("week", 0, -5, 2**63),
        "f": (7, ["x"]),
        "g": (7, {"x": 1}),
        "l": ("lock", 7, [], {}, {"name": 1}, {"name": "l"}, {"owner_id": "me"}),
        "b": ("Constant", [], ["ConstantBackoff"], {"algorithm": "x"}, [1, 2], ["ConstantBackoff", []]),
    }.items():
        for value in values:
            yield Hostile(f"{key} = {value!r}", _hash(task, body(queue, **{key: value})))
    for key, texts in {"q": ("", "another_queue", "a b", "{x}"), "h": ("fork", "")}.items():
        for text in texts:  # what counts is where it stands, and what its task is
            yield Hostile(f"{key} = {text!r}", _hash(task, body(queue, **{key: text})), fate=RUNS)


def _values(queue: str, task: str) -> Iterator[Hostile]:
    """User data that is no JSON, or more than anybody wants to read."""
    deep = "[" * 100_000
    for key, texts in {
        "a": ("", "nope", "[1", '"text"', '{"a":1}', "7", "null", deep, deep + "]" * 100_000, b"\xff\xfe", 7,
              "[" + "9" * 5_000 + "]", "\ufeff[]", "[1]\0", "[1],", "{}", "[\x00]"),
        "k": ("", "[]", '"text"', "nope", "null", deep, b"\xed\xa0\x80", 7, '{"how":', '{"how":"none"}}'),
        "m": ("[]", "7", "nope", deep),
        "r": ("nope", deep, b"\xff"),
        "n": ("[]", "7", "nope", '"x"', deep),
    }.items():  # fmt: skip
        for text in texts:
            yield Hostile(f"{key} = {text!r:.30}", _hash(task, body(queue, **{key: text})))
    # JSON that is unusual, and nevertheless says what to do.
    for text in (
        '{"how":"none","how":"none"}',
        '{"how":"none","seconds":NaN}',
        '{"how":"\\ud800"}',
        '{"how":"none","seconds":1e400}',
        '{"how":"\\u0000"}',
        '{"times":123456789012345678901234567890}',
    ):
        yield Hostile(f"k = {text}", _hash(task, body(queue, k=text)), fate=ANY)
    # What the task itself cannot take.
    for text in ('{"no":"such"}', '{"how":"fail","times":"x"}', '{"":1}'):
        yield Hostile(f"k = {text}", _hash(task, body(queue, k=text)), reason="failed", text="")
    fails = '{"how":"fail","times":9}'
    for name, fields in {
        "no such backoff": {"b": ["NoSuchBackoff", {}]},
        "an abstract backoff": {"b": ["Backoff", {}]},
        "a backoff with a wrong parameter": {"b": ["ConstantBackoff", {"no": 1}]},
        "a backoff of texts": {"b": ["ConstantBackoff", {"constant": "x", "floor": "y"}]},
        "a backoff of lists": {"b": ["ExponentialBackoff", {"base": [], "factor": {}}]},
    }.items():
        yield Hostile(f"fails with {name}", _hash(task, body(queue, k=fails, **fields)), fate=LATER)
    for text in ("{}", '{"task_name":7,"uuid":"x"}', '{"task_name":"x","uuid":"y","no":1}'):
        yield Hostile(f"is followed by {text}", _hash(task, body(queue, n=text)), reason="failed", text="")


def _fields(queue: str, task: str) -> Iterator[Hostile]:
    """Records whose other fields are damaged."""
    good = body(queue)
    numbers = (
        "abc",
        "",
        "NaN",
        "nan",
        "inf",
        "-inf",
        "-1",
        "1e308",
        "1e20",
        "0x10",
        "1.5",
        "99999999999999999999",
        "\0",
    )
    for name in "pndfx":
        for value in numbers:
            fate = ANY if name == "x" else RUNS
            yield Hostile(f"{name} = {value!r}", _hash(task, good, **{name: value}), fate=fate, reason="expired")
            if name != "f":  # most are looked at only where there is a fence
                fields = {"f": "3", name: value}
                yield Hostile(f"{name} = {value!r}, fenced", _hash(task, good, **fields), fate=fate, reason="expired")
    for value in numbers:
        yield Hostile(f"k = {value!r}", _hash(task, good, k=value), fate=RUNS)
    for value in (b"\xff\xfe", b"", b"nope", b"[]", b'["a"]', b'{"name":1}', b"[" * 100_000, b'["a","b",null]'):
        yield Hostile(f"e = {value!r:.20}", _hash(task, good, f="1", e=value), fate=RUNS)
    for value in (b"\xff\xfe", "", "somebody", "x" * 100_000):
        yield Hostile(f"t = {value!r:.20}", _hash(task, good, t=value), fate=RUNS)
    for value in (b"\xff\xfe", "", "a b", "{x}", "a\nb", "x" * 1_000_000):
        yield Hostile(f"T = {value!r:.20}", _hash(task, good, T=value), text="The task name")
    for value in ("no_such_task", "os.system", "__import__"):
        # The last of its deliveries: the next release ends it.
        yield Hostile(
            f"T = {value!r}", _hash(task, good, T=value, f="4", d="4"), reason="unknown_task", text="knows the task"
        )
    yield Hostile("fields of a newer release", _hash(task, good, zz="1", Q="x"), fate=RUNS)
    for name in "bT":
        fields = {key: value for key, value in _hash(task, good).items() if key != name}
        yield Hostile(f"no {name}", fields, fate=DROPPED)
    for value in ("", "q", "rr", "\0"):
        yield Hostile(f"s = {value!r}", _hash(task, good, s=value), fate=DROPPED)
    yield Hostile("no s", {"b": good, "T": task}, fate=DROPPED)
    for kind in ("string", "list", "set", "none"):
        yield Hostile(f"its record is a {kind}", {}, fate=DROPPED, kind=kind)


def _ids(queue: str, task: str) -> Iterator[Hostile]:
    """Ids that no uuid of ours could be."""
    packed = body(queue, c=time.time_ns() // 1_000_000)
    for uuid in (
        "a b",
        "x" * 500,
        "x" * 600,
        b"\xff\xfe\xfd",
        "line\nbreak",
        "ß" * 200,
        "tab\tab",
        b"half\xed\xa0\x80",
    ):
        yield Hostile(f"uuid = {uuid!r:.20}", _hash(task, packed), fate=ANY, uuid=uuid)
    for uuid in ("{x}", "a*", "short", "ß" * 100, "m:l:x", "[0-9]"):
        yield Hostile(f"uuid = {uuid!r:.20}", _hash(task, packed), fate=RUNS, uuid=uuid)
    yield Hostile("no time in its uuid", _hash(task, body(queue)), uuid="no-time")
