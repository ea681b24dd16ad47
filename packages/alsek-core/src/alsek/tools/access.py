"""Who needs what of Redis: the rules of ACL users for each role, no more than its real work takes.

What the scripts do counts as done by whoever runs them, so their commands are read from the scripts themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from alsek.exceptions import ValidationError
from alsek.storage.backends.redis.script_commands import commands_of, script_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What every connection does before and beside its work; the cluster's table is asked for on a cluster only.
_CONNECTION: Final = (
    "ping", "hello", "auth", "select", "client|setname", "client|setinfo", "client|id", "info", "time", "command",
    "cluster|slots", "cluster|shards", "readonly", "asking",
)  # fmt: skip

#: Scripts are loaded by whoever needs them first; `multi` keeps several plain commands together.
_SCRIPTS: Final = ("evalsha", "eval", "script|load", "multi", "exec")

#: Named values, results, statuses and locks of programs.
_VALUES: Final = (
    "get", "mget", "set", "del", "unlink", "exists", "scan", "zadd", "zrange", "zrem", "publish", "subscribe",
    "unsubscribe", "blpop",
)  # fmt: skip

#: What Inspector, `alsek fsck` and exporters read.
_LOOKS: Final = (
    "exists", "get", "getrange", "hget", "hgetall", "hlen", "hmget", "llen", "mget", "pttl", "scan", "scard",
    "sismember", "smembers", "strlen", "type", "zcard", "zcount", "zrange", "zrangebylex", "zrangebyscore", "zrank",
    "zscan", "zscore", "subscribe", "unsubscribe", "multi", "exec",
)  # fmt: skip

#: Keys of messages, behind the tag of their partition; the tag alone is what scripts are routed by.
_MESSAGES: Final = (
    "", "m:*", "r:*", "d:*", "l:*", "x:*", "w:*", "u:*", "n:*", "c:*", "queues", "meta", "results:*",
    "kids:*", "status:*",
)  # fmt: skip
_SCHEDULES: Final = ("s:*", "schedules*")
_HTTP: Final = ("api:*", "idem:*", "ticket:*")

_PRODUCER_SCRIPTS: Final = (
    "submit", "submit_one", "submit_unique", "revoke", "remove", "update", "lock_acquire", "lock_release", "lock_renew",
    "announce", "note_descendant", "put_result", "replace_status", "take_results",
)  # fmt: skip
_WORKER_SCRIPTS: Final = ("claim", "renew", "ack", "fail", "retry", "release", "progress", "registry_beat")


@dataclass(frozen=True, slots=True)
class Role:
    """What one kind of program may do.

    Attributes:
        name: As it is asked for.
        purpose: In a few words.
        scripts: It runs; or every script there is.
        commands: Beside those of its scripts.
        keys: Behind the tag of a partition.
        registry: Whether it sees who works here.
        values: Whether it keeps values and locks of its own in the namespace.
        writes: Whether it may change anything.
    """

    name: str
    purpose: str
    scripts: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    keys: tuple[str, ...] = _MESSAGES
    registry: bool = False
    values: bool = True
    writes: bool = True

    @property
    def all_commands(self) -> list[str]:
        """Every command of the role, in lower case, in order."""
        inside = {command for name in self.scripts for command in commands_of(name)}
        return sorted({*_CONNECTION, *self.commands, *inside})

    def patterns(self, namespace: str) -> list[str]:
        """Give the patterns of its keys."""
        names = [f"{{{namespace}:*}}:{suffix}" for suffix in self.keys]
        names += [f"{{{namespace}:registry}}:*"] * self.registry
        names += [f"{namespace}:*"] * self.values
        # Nothing is kept under a tag alone: it stands for the partition where a script is sent, also one that reads.
        return [f"~{name}" if self.writes or name.endswith("}:") else f"%R~{name}" for name in names]


_EVERY_SCRIPT: Final = tuple(script_names())

ROLES: Final[Mapping[str, Role]] = {
    role.name: role
    for role in (
        Role(
            "producer",
            "enqueues messages, waits for results and statuses",
            _PRODUCER_SCRIPTS,
            (*_SCRIPTS, *_VALUES, "hgetall", "smembers"),
        ),
        Role(
            "worker",
            "runs messages, and enqueues others",
            (*_PRODUCER_SCRIPTS, *_WORKER_SCRIPTS),
            (*_SCRIPTS, *_VALUES, *_LOOKS, "client|unblock"),
            registry=True,
        ),
        Role(
            "scheduler",
            "fires schedules, and edits them",
            (*_PRODUCER_SCRIPTS, *(name for name in _EVERY_SCRIPT if name.startswith("schedule_"))),
            (*_SCRIPTS, *_VALUES, *_LOOKS),
            (*_MESSAGES, *_SCHEDULES),
        ),
        Role(
            "api",
            "serves HTTP, and operates queues and schedules",
            _EVERY_SCRIPT,
            (*_SCRIPTS, *_VALUES, *_LOOKS, "hset", "hdel", "sadd", "srem"),
            (*_MESSAGES, *_SCHEDULES, *_HTTP),
            registry=True,
        ),
        Role(
            "exporter",
            "reads: metrics, Inspector, alsek queues, alsek fsck",
            commands=(*_LOOKS, "evalsha", "script|load"),
            keys=(*_MESSAGES, *_SCHEDULES),
            registry=True,
            values=False,
            writes=False,
        ),
    )
}


def role_of(name: str) -> Role:
    """Give a role by its name.

    Raises:
        ValidationError: There is none.
    """
    if name not in ROLES:
        raise ValidationError(f"there is no role {name!r}, only {', '.join(ROLES)}")
    return ROLES[name]


def rules(role: str, namespace: str, password: str | None = None) -> list[str]:
    """Give the rules of a role's user, as `ACL SETUSER` and the lines of an ACL file take them.

    Args:
        role: One of `ROLES`.
        namespace: Of the backend.
        password: Only its SHA-256 is given out; `None`: a place to put one.

    Raises:
        ValidationError: There is no such role.
    """
    known = role_of(role)
    secret = ">PASSWORD" if password is None else f"#{sha256(password.encode()).hexdigest()}"
    channels = (f"{{{namespace}:*}}:*", f"{namespace}:*", "channel:*")
    return [
        "on",
        secret,
        "resetkeys",
        *known.patterns(namespace),
        "resetchannels",
        *(f"&{channel}" for channel in channels),
        "-@all",
        *(f"+{command}" for command in known.all_commands),
    ]


def lines(roles: Iterable[str], namespace: str, form: str, prefix: str, passwords: Mapping[str, str]) -> list[str]:
    """Give a line for each role.

    Args:
        roles: Some of `ROLES`.
        namespace: Of the backend.
        form: `setuser`: commands for redis-cli; `aclfile`: lines of the file that `aclfile` names.
        prefix: Of the users' names.
        passwords: By role, as far as they are known.
    """
    start = "ACL SETUSER {} reset" if form == "setuser" else "user {}"
    return [" ".join([start.format(f"{prefix}{role}"), *rules(role, namespace, passwords.get(role))]) for role in roles]
