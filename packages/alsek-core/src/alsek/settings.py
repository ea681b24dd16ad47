"""The settings that all services share, and where a setting comes from: flag > environment > file > default.

**Operators** set anything that a command takes as an option in one of three ways; the first one found holds:

1. the flag: `alsek worker my_app --log-level DEBUG`
2. the environment: `ALSEK_WORKER_LOG_LEVEL` for one command (`ALSEK_<COMMAND>_<OPTION>`), `ALSEK_LOG_LEVEL` for all;
   the short form exists for the settings below, which all services share
3. a TOML file, named by `--config` or `ALSEK_CONFIG`: a table of the command's name, then the top of the file

        redis_url = "redis://redis.internal:6379/0"
        log_format = "json"

        [worker]
        queues = ["urgent", "mail"]
        n_threads = 16

An unknown key is refused in one line. `--show-config` on a command of a service shows what holds, and from where.

**Services** do nothing for that: every option of a command announced in the entry-point group `alsek.commands` can be
set in all three ways, by its name (see `alsek.cli.configuration`). A command that takes one of the settings below must
only call its parameter by the name given here (`redis_url` is the option `--url`).

**Programs** that make a broker of the same settings read them with `load`:

    settings = alsek.settings.load()
    broker = Broker(RedisBackend(settings.redis_url, namespace=settings.namespace, partitions=settings.partitions))
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alsek.defaults import DEFAULT_NAMESPACE
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Names the file.
CONFIG_ENV_VAR: Final = "ALSEK_CONFIG"

PREFIX: Final = "ALSEK_"


def _setting(default: Any, what: str, option: str = "") -> Any:
    return field(default=default, metadata={"help": what, "option": option})


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """What several services take, each under the same name in all of them.

    Attributes:
        redis_url: Which Redis.
        namespace: First part of every key.
        partitions: Hash tags that messages spread over.
        metrics_port: PORT or HOST:PORT of probes and metrics; none are served by default.
        log_level: Least level that is shown.
        log_format: Lines for people, or JSON for machines.
        drain_timeout: Seconds.
        lease: Seconds.
    """

    redis_url: str | None = _setting(
        None, "Which Redis, such as redis://:password@host:6379/0. redis://localhost:6379/0 by default.", "url"
    )
    namespace: str = _setting(DEFAULT_NAMESPACE, "First part of every key.")
    partitions: int = _setting(1, "Hash tags that messages spread over; more than one only on Redis Cluster.")
    metrics_port: str | None = _setting(
        None, "PORT or HOST:PORT of /livez, /readyz, /startupz and /metrics. None are served by default."
    )
    log_level: str = _setting("INFO", "Least level that is shown: DEBUG, INFO, WARNING, ERROR or CRITICAL.")
    log_format: str = _setting("console", "`console`: lines for people; `json`: an object per line.")
    drain_timeout: float = _setting(30.0, "Seconds that running work gets to finish after SIGTERM.")
    lease: float = _setting(30.0, "Seconds after which a killed worker's messages start again.")


#: Field → name of the parameter that commands take it as.
SHARED: Final[Mapping[str, str]] = {one.name: one.metadata["option"] or one.name for one in fields(SharedSettings)}


def env_var(name: str, command: str = "") -> str:
    """Name the environment variable of a setting, for all commands or for one.

    Args:
        name: Of the setting or option.
        command: Of the command.
    """
    return PREFIX + "_".join(part for part in (command, name) if part).replace("-", "_").upper()


def load(config: str | Path | None = None) -> SharedSettings:
    """Read the shared settings: environment, then file, then defaults.

    Args:
        config: The file; the one named by `ALSEK_CONFIG`, if any, by default.

    Raises:
        ValidationError: The file cannot be read, or something in it or in the environment makes no sense.
    """
    path = config if config is not None else os.environ.get(CONFIG_ENV_VAR)
    found = {} if not path else read_file(path).shared
    values: dict[str, Any] = {}
    for one in fields(SharedSettings):
        text = os.environ.get(env_var(one.name), "")
        given: Any = text or found.get(one.name)
        if given is not None:
            where = env_var(one.name) if text else f"{path}: `{one.name}`"
            values[one.name] = _convert(given, type(one.default), where)
    return SharedSettings(**values)


@dataclass(frozen=True, slots=True)
class File:
    """A settings file, checked as far as that is possible without the commands.

    Attributes:
        path: Its name.
        shared: The top of the file.
        tables: One for each command that it names.
    """

    path: str
    shared: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]


def read_file(path: str | Path) -> File:
    """Read a settings file.

    Raises:
        ValidationError: It is not there, no TOML, or has an unknown key at its top.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValidationError(f"the settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValidationError(f"the settings file {path} is not TOML: {error}") from error
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    shared = {name: value for name, value in content.items() if name not in tables}
    for name in shared:
        refuse_unknown(name, SHARED, f"{path}: unknown setting `{name}`")
    return File(str(path), shared, tables)


def refuse_unknown(name: str, known: Collection[str], complaint: str) -> None:
    """Refuse a name that is none of the known ones.

    Raises:
        ValidationError: With the complaint, and what was probably meant.
    """
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(sorted(known))}"
        raise ValidationError(f"{complaint}; {hint}")


def _convert(given: Any, kind: type, where: str) -> Any:
    if kind in (int, float):
        try:
            return kind(given)
        except (TypeError, ValueError) as error:
            number = "a whole number" if kind is int else "a number"
            raise ValidationError(f"{where}: expected {number}, not {given!r}") from error
    if isinstance(given, bool | list):
        raise ValidationError(f"{where}: expected text, not {given!r}")
    return str(given)
