"""What one partition of a real server holds, in the form in which the model dumps itself.

Also the time machine: tests never wait, they move every stored time of a partition
into the past, which to the scripts looks as if that much time had gone by.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis import Redis

Value = dict[str, str] | dict[str, float] | list[str] | set[str] | str

#: Record fields that are left out when they hold their default, so that absent and default compare equal.
DEFAULTS = {"p": "0", "n": "0", "d": "0", "f": "0"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One key: its type, its value, and when it vanishes (absolute ms; `None`: never)."""

    kind: str
    value: Value
    expires_at: int | None = None

    @property
    def has_ttl(self) -> bool:
        return self.expires_at is not None


Dump = dict[str, Entry]


def redis_dump(client: Redis, tag: str) -> Dump:
    """Every key of a partition, named without the tag.

    Args:
        client: Speaks bytes (`decode_responses=False`).
        tag: `{namespace:partition}:`.
    """
    keys = sorted(set(client.scan_iter(match=_literal(tag) + "*", count=1000)))
    with client.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.type(key)
            pipe.pexpiretime(key)
        facts = pipe.execute()
        kinds = [_text(kind) for kind in facts[::2]]
        for key, kind in zip(keys, kinds, strict=True):
            _READ[kind](pipe, key)
        values = pipe.execute()
    prefix = len(tag)
    found = {
        _text(key)[prefix:]: Entry(kind, _value(_text(key)[prefix:], kind, value), expiry if expiry >= 0 else None)
        for key, kind, expiry, value in zip(keys, kinds, facts[1::2], values, strict=True)
        if kind != "none"
    }
    return {key: entry for key, entry in found.items() if not key.startswith("n:")} | _counts(found)


def canonical_record(fields: dict[str, str]) -> dict[str, str]:
    """A record without the fields that hold their default."""
    kept = {name: value for name, value in fields.items() if DEFAULTS.get(name) != value}
    if "h" in kept:
        kept["h"] = re.sub(r"^\d+ \d+ ", "# # ", kept["h"], flags=re.MULTILINE)
    return kept


def canonical_receipt(text: str) -> str:
    """A receipt without the time of the last claim."""
    return re.sub(r"^(S \S* \d+ )\d+ ", r"\1# ", text)


def _counts(found: Dump) -> Dump:
    """The counts of each queue over all minutes; without the sums of times, which no model can know."""
    sums: dict[str, dict[str, int]] = {}
    for key, entry in found.items():
        if key.startswith("n:") and isinstance(entry.value, dict):
            assert entry.has_ttl, f"{key} would stay for ever"
            of_queue = sums.setdefault(key.rpartition(":")[0], {})
            for name, n in entry.value.items():
                what = name.lstrip("0123456789")
                if what not in ("w", "h"):
                    of_queue[what] = of_queue.get(what, 0) + int(n)
    return {key: Entry("hash", {what: str(n) for what, n in of_queue.items()}) for key, of_queue in sums.items()}


class TimeMachine:
    """Moves a partition's stored times, so that virtual time passes without waiting."""

    def __init__(self, client: Redis, tag: str) -> None:
        self._tag = tag
        self._shift = client.register_script(SHIFT)

    def advance(self, ms: int, *, clock_too: bool = True) -> int:
        """Let `ms` go by (negative: the server's clock jumps back); give the server's time.

        Args:
            ms: How much later it seems afterwards.
            clock_too: False as if another worker had spoken to the end, so that it is no outage.
        """
        return int(self._shift(args=[self._tag, ms, int(clock_too)]))


#: Test-only: shifts by key prefix; a key of an unexpected type is left alone. Returns Redis time in ms.
SHIFT = """
local tag, ms, clock_too = ARGV[1], tonumber(ARGV[2]), ARGV[3] == '1'
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, key in ipairs(redis.call('KEYS', (string.gsub(tag, '[%[%]%*%?]', '\\\\%0')) .. '*')) do
  local name = string.sub(key, #tag + 1)
  local kind = redis.call('TYPE', key)['ok']
  local prefix = string.match(name, '^([^:]+):') or name
  if kind == 'zset' and (prefix == 'r' or prefix == 'd' or prefix == 'l' or prefix == 'x' or prefix == 'kids') then
    local pairs_ = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for i = 1, #pairs_, 2 do
      if pairs_[i + 1] ~= 'inf' then
        redis.call('ZADD', key, string.format('%.17g', tonumber(pairs_[i + 1]) - ms), pairs_[i])
      end
    end
  elseif kind == 'hash' and (prefix == 'm' or name == 'meta') then
    local fields = prefix == 'm' and {'x', 'z', 'c'} or (clock_too and {'clock', 'grace'} or {'grace'})
    for _, field in ipairs(fields) do
      local value = tonumber(redis.call('HGET', key, field) or nil)
      if value then redis.call('HSET', key, field, string.format('%.0f', value - ms)) end
    end
  end
  if kind == 'string' and prefix == 'u' then
    local id, ends = string.match(redis.call('GET', key), '^(%S+) (%d+)$')
    if id then redis.call('SET', key, id .. ' ' .. string.format('%.0f', ends - ms), 'KEEPTTL') end
  end
  local expiry = redis.call('PEXPIRETIME', key)
  if expiry > 0 and prefix ~= 'n' then redis.call('PEXPIREAT', key, string.format('%.0f', math.max(1, expiry - ms))) end
end
return now
"""


def _literal(text: str) -> str:
    return "".join(f"\\{char}" if char in "*?[]\\" else char for char in text)


def _text(raw: Any) -> str:
    return raw.decode("latin-1") if isinstance(raw, bytes) else str(raw)


_READ: dict[str, Any] = {
    "hash": lambda pipe, key: pipe.hgetall(key),
    "zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
    "list": lambda pipe, key: pipe.lrange(key, 0, -1),
    "set": lambda pipe, key: pipe.smembers(key),
    "string": lambda pipe, key: pipe.get(key),
    "none": lambda pipe, key: pipe.exists(key),
}


def _value(name: str, kind: str, raw: Any) -> Value:
    if kind == "hash":
        fields = {_text(field): _text(value) for field, value in raw.items()}
        return canonical_record(fields) if name.startswith("m:") else fields
    if kind == "zset":
        return {_text(member): float(score) for member, score in raw}
    if kind == "list":
        return [_text(member) for member in raw]
    if kind == "string" and name.startswith("m:"):
        return canonical_receipt(_text(raw))
    if kind == "set":
        return {_text(member) for member in raw}
    return _text(raw)
