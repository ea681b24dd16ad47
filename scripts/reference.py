#!/usr/bin/env python3
"""Write docs/reference from the code: commands, settings, metrics, HTTP. `make reference`; a test says when it is due."""

from __future__ import annotations

import json
import sys
from copy import copy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from alsek.cli import services
from alsek.cli.cli import main as program
from alsek.cli.configuration import configure
from alsek.settings import SHARED, SharedSettings, env_var
from alsek.tools import exposition, gauges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alsek.tools.families import Described

FOLDER = Path(__file__).parents[1] / "docs" / "reference"

GENERATED = "<!-- Written by scripts/reference.py: `make reference` writes it anew. -->"

#: Wide enough for every table, narrow enough for a screen.
WIDTH = 100

COMMANDS = f"""# The command line

{GENERATED}

One program, `alsek`; a service that is installed adds its commands. `alsek COMMAND --help` says the same as this page.

- Tables are for people; `--json` writes the same for programs, in a form that only grows.
- What destroys asks first; `--yes` answers.
- `alsek --install-completion` teaches bash, zsh or fish the commands and options, those of services too, and the names of your queues
  and tasks; `alsek --show-completion` only shows how. For another shell than the one in use: `_ALSEK_COMPLETE=source_zsh alsek`.
- A mistake is one line on stderr. `alsek --traceback ...`, or `ALSEK_TRACEBACK=1`, shows where it happened.

| exit code | meaning |
|---|---|
| 0 | done; of a service: it was stopped by SIGTERM or Ctrl-C and had ended its work |
| 1 | done, and the answer is bad news: `fsck` found something, `doctor` has warnings, `bench` lost or repeated a message, a pool could not go on |
| 2 | not done, nothing was changed: a mistake on the command line or in a setting, Redis does not answer or refuses, a port is in use; of `doctor`: an error |
| 130 | of `bench`: stopped by Ctrl-C or SIGTERM |
"""

SETTINGS = f"""# Settings

{GENERATED}

Whatever a service takes as an option can be set in three ways; the first one found holds:

1. the flag: `--log-level DEBUG`
2. the environment: the variable of the command, then the one that all commands share
3. a TOML file, named by `--config` or `ALSEK_CONFIG`: the table of the command, then the top of the file

```toml
redis_url = "redis://redis.internal:6379/0"
log_format = "json"

[worker]
queues = ["urgent", "mail"]
n_threads = 16
```

`--show-config` on a command of a service shows what holds, and from where, with secrets masked; then it ends. An unknown key, or a
value that makes no sense, is one line that names the file and the key, or the variable, and exit code 2. Commands that look and act
(`alsek queues`, `alsek dlq`, ...) take the shared settings from outside and everything else as flags.

A program that makes its broker of the same settings reads them with `alsek.settings.load()`:

```python
from alsek import Broker
from alsek.settings import load
from alsek.storage.backends.redis import RedisBackend

settings = load()
broker = Broker(RedisBackend(settings.redis_url, namespace=settings.namespace, partitions=settings.partitions))
```

What the file says of `redis_url` also reaches a package of tasks whose `RedisBackend()` names no address. In Kubernetes, a Service called
`alsek-api` puts `ALSEK_API_PORT=tcp://...` into every pod of its namespace; such values are ignored.

## Shared by all commands
"""

METRICS = f"""# Metrics

{GENERATED}

All durations are seconds, all sizes bytes; labels are queues and tasks that are registered, anything else is `other`. Nothing is labelled
by uuid or host: Prometheus adds `instance`. How to serve and use them stands in [Monitoring](../guides/monitoring.md).
"""


HTTP_API = f"""# The HTTP API

{GENERATED}

A running service describes itself in the same words at `/v1/openapi.json` (OpenAPI 3.1). The guide is
[Alsek over HTTP](../guides/http-api.md).

- Every request but the probes carries a key: `Authorization: Bearer ak_...`. Its scopes are `read`, `enqueue`, `operate` and `admin`
  (which includes the others); each operation says which it asks for.
- Bodies are JSON (`Content-Type: application/json`), and unknown fields are refused. Times are ms since the epoch, durations ms.
- Errors are problem details (RFC 9457, `application/problem+json`): `type`, `title`, `status`, `detail`, `request_id`, and `errors`
  where several values are wrong. 429 and 503 say in `Retry-After` when to come back.
- Every response has an `X-Request-ID`, the one you sent or a new one; the log of the service has it too.
"""


def pages() -> dict[str, str]:
    """The text of each page, by its file name."""
    return {"cli.md": cli(), "settings.md": settings(), "metrics.md": metrics(), "http-api.md": http_api()}


def cli() -> str:
    """Every command with its help."""
    root = typer.Context(
        program, info_name="alsek", terminal_width=WIDTH, max_content_width=WIDTH,
        help_option_names=program.context_settings["help_option_names"],
    )  # fmt: skip
    parts = [COMMANDS]
    for path, command, parent in walk(program, root, "alsek"):
        command = copy(command)
        command._help_option = None  # kept by whoever asked first, who may have had other names for it
        context = typer.Context(command, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=WIDTH)
        text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
        parts.append(f"{'#' * min(3, path.count(' ') + 1)} {path}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def walk(group: Any, context: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """All commands below a group, each with its path and the context above it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        if path == "alsek":
            lasting = services.configurable()
            configure(command, name, lasting, service=name in lasting)
        yield f"{path} {name}", command, context
        if hasattr(command, "commands"):
            below = typer.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
            yield from walk(command, below, f"{path} {name}")


def settings() -> str:
    """The shared settings, then the options of each service."""
    defaults = SharedSettings()
    meanings = {one.name: one.metadata["help"] for one in SharedSettings.__dataclass_fields__.values()}
    rows = [
        (
            f"`{name}`",
            f"`--{option.replace('_', '-')}`",
            f"`{env_var(name)}`",
            default(getattr(defaults, name)),
            meanings[name],
        )
        for name, option in SHARED.items()
    ]
    parts = [SETTINGS, table(("key", "option", "variable", "default", "meaning"), rows)]
    root = typer.Context(program, info_name="alsek")
    for name in services.configurable():
        if name not in program.list_commands(root):
            continue
        command = program.get_command(root, name)
        configure(command, name, services.configurable(), service=True)
        rows = [
            (f"`{key}`", f"`{max(param.opts, key=len)}`", f"`{env_var(key, name)}`", default(param.default), param.help or "")
            for key, param in command.configurable.settable.items()
        ]  # fmt: skip
        parts.append(f"\n## alsek {name}\n\nTable `[{name}]` of the file.\n")
        parts.append(table(("key", "option", "variable", "default", "meaning"), rows))
    return "\n".join(parts)


def metrics() -> str:
    """The metrics of each service."""
    homes = {
        "Every service": (exposition.BUILD_INFO,),
        "The exporter and the API service": gauges.ALL,
        **{
            title: import_module(module).ALL
            for title, module in (
                ("A worker pool (`--metrics-port`)", "alsek_worker.metrics"),
                ("The scheduler (`--metrics-port`)", "alsek_scheduler.metrics"),
                ("The API service", "alsek_api.metrics"),
            )
            if find_spec(module) is not None and hasattr(import_module(module), "ALL")
        },
    }
    parts = [METRICS]
    for title, described in homes.items():
        parts += [f"## {title}\n", table(("name", "type", "labels", "meaning"), map(row, described)), ""]
    return "\n".join(parts).rstrip("\n") + "\n"


def http_api() -> str:
    """The operations of the HTTP API, by what they are for."""
    document = import_module("alsek_api.document").describe(
        import_module("alsek_api.app").create_app(import_module("alsek_api.settings").ApiSettings())
    )
    groups: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    parts = [HTTP_API]
    for tag, operations in groups.items():
        parts.append(f"## {tag.capitalize()}\n")
        parts += [_operation(*one) for one in operations]
    parts.append("## Types\n")
    parts += [_type(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    scope = operation.get("x-alsek-scope")
    parts = [f"### {operation['summary']}\n", f"`{method} {path}`" + (f", scope `{scope}`" if scope else "") + "\n"]
    parts.append(f"{operation['description']}\n")
    rows = [
        (f"`{one['name']}`", one["in"], _shape(one["schema"]), "yes" if one.get("required") else "", one["description"])
        for one in operation.get("parameters", [])
    ]
    if rows:
        parts.append(table(("parameter", "in", "type", "needed", "meaning"), rows) + "\n")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts += [
            f"{example['summary']} (`{kind}`):\n\n{_example(example['value'])}\n"
            for example in content["examples"].values()
        ]
    answers = []
    for status, response in sorted(operation["responses"].items()):
        shapes = [_shape(content["schema"]) for content in response.get("content", {}).values() if "schema" in content]
        answers.append((status, response["description"], ", ".join(shapes)))
    parts.append(table(("status", "meaning", "body"), answers) + "\n")
    parts += [
        f"{status}:\n\n{_example(content['example'])}\n"
        for status, response in sorted(operation["responses"].items())
        if status.startswith("2")
        for content in response.get("content", {}).values()
    ]
    return "\n".join(parts)


def _type(name: str, schema: dict[str, Any]) -> str:
    about = " ".join(schema.get("description", "").split())
    needed = schema.get("required", [])
    rows = [
        (f"`{field}`", _shape(one), "yes" if field in needed else "", default(one.get("default")), one.get("description", ""))
        for field, one in schema.get("properties", {}).items()
    ]  # fmt: skip
    return f"### {name}\n\n{about}\n\n{table(('field', 'type', 'needed', 'default', 'meaning'), rows)}\n"


def _shape(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(map(_shape, schema[several])))
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{one}`" for one in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    bounds = [
        f"{sign} {schema[key]:,}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in schema
    ]  # fmt: skip
    if "maxLength" in schema:
        bounds.append(f"up to {schema['maxLength']} characters")
    return " ".join([schema.get("type", "anything"), *bounds])


def _example(value: Any) -> str:
    if isinstance(value, str):
        return f"```text\n{value.strip()}\n```"
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def row(one: Described) -> tuple[str, ...]:
    """A metric as a line of a table."""
    return f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.meaning


def default(value: Any) -> str:
    """A default for people."""
    if value is None or value == "":
        return ""
    return f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def main() -> int:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
