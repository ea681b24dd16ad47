"""How every message of a namespace ended, read from Redis after a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.tools.fsck import audit

if TYPE_CHECKING:
    from collections.abc import Collection

    from alsek.core.broker import Broker

#: Letters of messages that still wait or run.
OPEN = "rdl"

#: What the letter of a receipt, which a message leaves when it has ended, stands for.
RECEIPTS = {"S": "succeeded", "F": "failed", "V": "revoked", "E": "expired", "A": "removed"}


def states(broker: Broker) -> dict[str, str]:
    """Where each message stands: an open letter, how it ended, or why it is dead."""
    found: dict[str, str] = {}
    client = broker.redis.conn
    prefixes = [broker.keys.tag(p) + "m:" for p in range(broker.keys.partitions)]
    for prefix in prefixes:
        names = sorted(set(client.scan_iter(match=prefix.replace("[", "\\[") + "*", count=1000)))
        for start in range(0, len(names), 500):
            page = names[start : start + 500]
            with client.pipeline(transaction=False) as pipe:
                for name in page:
                    pipe.type(name)
                kinds = pipe.execute()
                for name, kind in zip(page, kinds, strict=True):
                    pipe.get(name) if _text(kind) == "string" else pipe.hmget(name, "s", "a")
                values = pipe.execute()
            for name, value in zip(page, values, strict=True):
                found[_text(name)[len(prefix) :]] = _state(value)
    return found


def ended(broker: Broker) -> dict[str, str]:
    """The end state of each message that has one."""
    return {uuid: state for uuid, state in states(broker).items() if state not in OPEN}


def assert_sound(broker: Broker, *, except_for: Collection[str] = ()) -> None:
    """Raise unless every message stands where its record says (`alsek fsck`).

    Args:
        broker: Whose messages.
        except_for: Uuids of messages that the test damaged.
    """
    findings = [finding for finding in audit(broker.redis).findings if finding.uuid not in except_for]
    assert not findings, "\n".join(f"{finding.kind} {finding.uuid}: {finding.text}" for finding in findings[:10])


def _state(value: object) -> str:
    if isinstance(value, list):
        letter, reason = _text(value[0] or "?"), _text(value[1] or "")
        return reason if letter == "x" else letter
    letter = _text(value or "?")[:1]
    return RECEIPTS.get(letter, letter)


def _text(raw: object) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
