"""How the audit reads a namespace: in small pages, or all that concerns one message at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from alsek.core.record import is_newer
from alsek.exceptions import BackendDataError
from alsek.tools._verdict import INDEXES, Facts, Place, queue_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alsek.storage.backends.redis.link import Route
    from alsek.storage.keys import Keys

Command = tuple[str, ...]

#: Names asked for in one step of a scan; a few times as many commands go out in one write.
_PAGE: Final = 100

_FIELDS: Final = ("s", "t", "f", "T", "b", "p", "n", "d", "x", "k")


class Name(NamedTuple):
    """A key of the namespace, taken apart: its partition, what stands before the colon, the rest."""

    key: str
    partition: int
    kind: str
    rest: str


class Reader:
    """Reads through one connection; an error of a single command stands in the place of its answer.

    Args:
        link: Used by nobody else.
        keys: Key names of the namespace.
    """

    def __init__(self, link: Route, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def key(self, partition: int, rest: str) -> str:
        """Give a key of any partition, also of one that should not exist."""
        return f"{{{self._keys.namespace}:{partition}}}:{rest}"

    def names(self) -> Iterator[list[Name]]:
        """Give all keys of all partitions, in pages."""
        namespace = self._keys.namespace
        shape = re.compile(rf"\{{{re.escape(namespace)}:(\d+)\}}:([^:]+):?(.*)", re.DOTALL)
        for node in self._link.nodes():
            for raw in self._scan(node, "SCAN", match=f"{{{_escaped(namespace)}:*}}:*"):
                found = [(key, shape.fullmatch(key)) for key in sorted({text(name) for name in raw})]
                yield [Name(key, int(parts[1]), parts[2], parts[3]) for key, parts in found if parts is not None]

    def ids(self, partition: int, place: Place) -> Iterator[list[str]]:
        """Give the ids of an index, in pages."""
        for raw in self._scan(self._link, "ZSCAN", self.key(partition, f"{place.letter}:{place.queue}")):
            yield [text(uuid) for uuid in raw[::2]]

    def members(self, partition: int, rest: str, command: str) -> Iterator[list[str]]:
        """Give the members of a sorted set (`ZSCAN`) or a set (`SSCAN`), in pages."""
        for raw in self._scan(self._link, command, self.key(partition, rest)):
            yield [text(one) for one in (raw[::2] if command == "ZSCAN" else raw)]

    def facts(self, ids: Sequence[tuple[int, str]]) -> list[Facts]:
        """Read a page of records."""
        keys = [self.key(partition, f"m:{uuid}") for partition, uuid in ids]
        kinds = [text(kind) for kind in self.ask([("TYPE", key) for key in keys])]
        looks = [look for key, kind in zip(keys, kinds, strict=True) for look in _looks(key, kind)]
        read = iter(self.ask(looks))
        return [self._facts(*one, kind, next(read), next(read)) for one, kind in zip(ids, kinds, strict=True)]

    def standing(self, wanted: Sequence[tuple[Facts, Sequence[Place]]]) -> list[list[Place]]:
        """Give those of the places at which each message stands."""
        scores = iter(self.ask([self._score(facts, place) for facts, places in wanted for place in places]))
        return [[place for place in places if _is_score(next(scores))] for _, places in wanted]

    def at_once(self, partition: int, uuid: str, places: Sequence[Place], *more: Command) -> tuple[Any, ...]:
        """Read all that concerns one message by one transaction.

        Returns:
            Its facts, where it stands, and the answers to `more`.
        """
        key = self.key(partition, f"m:{uuid}")
        draft = self._facts(partition, uuid, "none", -2, None)
        looks: list[Command] = [("TYPE", key), *_looks(key, "hash"), ("GETRANGE", key, "0", "1")]
        read = self.transaction([*looks, *more, *(self._score(draft, place) for place in places)], key)
        kind = text(read[0])
        facts = self._facts(partition, uuid, kind, read[1], read[3] if kind == "string" else read[2])
        scores = read[4 + len(more) :]
        standing = [place for place, score in zip(places, scores, strict=True) if _is_score(score)]
        return facts, standing, *read[4 : 4 + len(more)]

    def transaction(self, commands: Sequence[Command], key: str) -> list[Any]:
        """Ask with nothing happening in between, where a key is; all others are in the same partition."""
        answers: list[Any] | BackendDataError = self._link.ask([("MULTI",), *commands, ("EXEC",)], key=key)[-1]
        if isinstance(answers, BackendDataError):
            raise answers
        return answers

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go."""
        answers: list[Any] = []
        for start in range(0, len(commands), _PAGE * 8):
            answers += self._link.ask(commands[start : start + _PAGE * 8])
        return answers

    def _scan(self, link: Route, command: str, *key: str, match: str = "*") -> Iterator[list[bytes]]:
        cursor = "0"
        while True:
            (answer,) = link.ask([(command, *key, cursor, "MATCH", match, "COUNT", str(_PAGE))])
            if isinstance(answer, BackendDataError):
                return
            yield answer[1]
            cursor = text(answer[0])
            if cursor == "0":
                return

    def _facts(self, partition: int, uuid: str, kind: str, left: Any, read: Any) -> Facts:
        fields = dict(zip(_FIELDS, read, strict=True)) if isinstance(read, list) else {}
        body = fields.get("b")
        newer = is_newer(body[0]) if body else False
        queue, problem = ("", "") if body is None or newer else queue_of(body)
        at_home = partition >= self._keys.partitions or self._keys.partition(uuid) == partition
        texts = {name: text(value) for name, value in fields.items() if value is not None}
        receipt = text(read)[0] if isinstance(read, bytes) and read[1:] == b" " else ""
        left_ms = left if isinstance(left, int) else -2
        return Facts(partition, uuid, kind, texts, receipt, left_ms, queue, problem, newer, at_home)

    def _score(self, facts: Facts, place: Place) -> Command:
        return ("ZSCORE", self.key(facts.partition, f"{place.letter}:{place.queue}"), facts.uuid)


def all_indexes(queues: set[str]) -> list[Place]:
    """Give every index of some queues."""
    return [Place(letter, queue) for queue in sorted(queues) for letter in INDEXES]


def text(raw: Any) -> str:
    """Give an answer as text."""
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def _looks(key: str, kind: str) -> list[Command]:
    """How long a record stays, and what it holds, asked in a way that suits its type."""
    looks: dict[str, Command] = {"hash": ("HMGET", key, *_FIELDS), "string": ("GETRANGE", key, "0", "1")}
    return [("PTTL", key), looks.get(kind, ("TYPE", key))]


def _is_score(answer: Any) -> bool:
    """Whether an id stands in an index; an index of the wrong type holds nobody."""
    return isinstance(answer, bytes | float)


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[\]\\])", r"\\\1", name)
