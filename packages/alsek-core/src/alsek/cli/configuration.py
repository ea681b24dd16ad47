"""Gives every command's options an environment variable and a place in the settings file, without its help.

A command is written as if there were flags only. `configure` then names the variables, adds `--config`, and on
commands of services `--show-config`. Options of the core's own commands are for one call, so of those only the
settings that all commands share can be set from outside: nobody wants `--yes` from a file.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path  # noqa: TC003 - typer reads the annotation when the command is made
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from alsek.exceptions import ValidationError
from alsek.settings import CONFIG_ENV_VAR, SHARED, env_var, read_file, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: What the file says of these also holds for backends that the package of tasks makes.
_INHERITED: Final = ("redis_url", "namespace", "partitions")

_SECRET: Final = re.compile(r"password|secret|token|api_?key", re.IGNORECASE)

_SHOW: Final = "alsek.show_config"

#: Parameter → field of the shared settings.
_FIELDS: Final = {option: name for name, option in SHARED.items()}


class Configurable(NamedTuple):
    """What of one command can be set from outside.

    Attributes:
        name: Of the command.
        settable: Its options by name.
        tables: Names of the commands that may have a table in the file.
    """

    name: str
    settable: Mapping[str, Any]
    tables: Collection[str]


def configure(command: Any, name: str, tables: Collection[str], *, service: bool) -> Any:
    """Let the options of a command be set from outside.

    Args:
        command: What typer made of it; changed in place. A group: its commands are, and it too if it
            runs by itself.
        name: As it is typed.
        tables: Names of the commands that may have a table in the file.
        service: Whether all its options can be set from outside, and shown.
    """
    if hasattr(command, "commands"):
        for inner, one in command.commands.items():
            configure(one, inner, tables, service=False)
        if not (service and command.invoke_without_command):
            return command
    if hasattr(command, "configurable"):
        return command
    options = {param.name: param for param in command.params if param.param_type_name == "option" and not param.hidden}
    settable = options if service else {key: options[key] for key in options.keys() & _FIELDS.keys()}
    for key, param in settable.items():
        if param.envvar is None:
            param.envvar = _variables(key, name, service=service)
            param.show_envvar = False
    command.params += _extra_options(service=service)
    command.configurable = Configurable(name, settable, tables)
    invoke = command.invoke
    command.invoke = lambda ctx: _show(ctx) if ctx.meta.get(_SHOW) else invoke(ctx)
    return command


def _variables(option: str, command: str, *, service: bool) -> list[str]:
    names = [env_var(option, command)] if service else []
    if option in _FIELDS:
        names.append(env_var(_FIELDS[option]))
    # Kubernetes sets NAME_PORT=tcp://… for each Service of a namespace, and a Service may be called alsek-api.
    return [name for name in names if not os.environ.get(name, "").startswith("tcp://")]


def _take_config(ctx: typer.Context, value: Path | None) -> Path | None:
    if not ctx.resilient_parsing:
        _check_environment(ctx)
        if value is not None:
            ctx.default_map = _from_file(ctx, value)
    return value


def _check_environment(ctx: Any) -> None:
    # Typer would name the flag alone, which nobody typed.
    for param in ctx.command.configurable.settable.values():
        for name in [param.envvar] if isinstance(param.envvar, str) else param.envvar:
            if text := os.environ.get(name):
                _checked(ctx, param, text, name)


def _note(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[_SHOW] = value
    return value


def _options(
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", envvar=CONFIG_ENV_VAR, is_eager=True, callback=_take_config,
            show_default=False, show_envvar=False, help="Settings in TOML. ALSEK_CONFIG by default.",
        ),
    ] = None,
    show_config: Annotated[
        bool,
        typer.Option("--show-config", is_eager=True, callback=_note, help="Show what holds, and from where; exit."),
    ] = False,
) -> None:  # fmt: skip
    """Only its options are of use."""


def _extra_options(*, service: bool) -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(_options)
    made: Any = typer.main.get_command(app)
    params = [param for param in made.params if service or param.name == "config"]
    for param in params:
        param.expose_value = False
        param.hidden = not service
    return params


def _from_file(ctx: Any, path: Path) -> dict[str, Any]:
    name, settable, tables = ctx.command.configurable
    file = read_file(path)
    for table in file.tables:
        refuse_unknown(table, tables, f"{path}: unknown table [{table}]")
    own = {key.replace("-", "_"): value for key, value in file.tables.get(name, {}).items()}
    own = {SHARED.get(key, key): value for key, value in own.items()}
    known = [_FIELDS.get(key, key) for key in settable]
    for key in own:
        refuse_unknown(_FIELDS.get(key, key), known, f"{path}: unknown setting `{key}` in [{name}]")
    shared = {SHARED[key]: value for key, value in file.shared.items()}
    for key in _INHERITED:
        value = own.get(SHARED[key], shared.get(SHARED[key]))
        if value is not None:
            os.environ.setdefault(env_var(key), str(value))
    found = {key: value for key, value in (shared | own).items() if key in settable}
    return {key: _checked(ctx, settable[key], value, f"{path}: `{key}`") for key, value in found.items()}


def _checked(ctx: Any, param: Any, value: Any, where: str) -> Any:
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, dict) or (isinstance(value, bool) and not param.is_flag):
        raise ValidationError(f"{where} cannot be {value!r}")
    try:
        param.process_value(ctx, value)
    except typer.BadParameter as error:
        raise ValidationError(f"{where}: {error.message}") from error
    return value


def _show(ctx: Any) -> None:
    """Write the settings as TOML, each with where it comes from."""
    typer.echo(f"# {ctx.command_path}")
    for key, param in ctx.command.configurable.settable.items():
        value = ctx.params.get(key)
        text = "" if value is None else _toml(masked(key, value))
        line = f"{_FIELDS.get(key, key)} = {text}" if text else f"# {_FIELDS.get(key, key)} is not set"
        typer.echo(f"{line:<48}  # {_source(ctx, key, param)}")


def _source(ctx: Any, key: str, param: Any) -> str:
    source = ctx.get_parameter_source(key)
    match source.name if source is not None else "DEFAULT":
        case "COMMANDLINE":
            return "flag"
        case "ENVIRONMENT":
            names = [param.envvar] if isinstance(param.envvar, str) else param.envvar
            return next(name for name in names if os.environ.get(name))
        case "DEFAULT_MAP":
            return "file"
        case _:
            return "default"


def masked(key: str, value: Any) -> Any:
    """Give a value without its secrets, for logs and screens."""
    if _SECRET.search(key):
        return "***"
    return re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", value) if isinstance(value, str) else value


def _toml(value: Any) -> str:
    # JSON's texts, numbers and booleans are TOML's.
    return json.dumps(value if isinstance(value, str | int | float | bool) else str(value), ensure_ascii=False)
