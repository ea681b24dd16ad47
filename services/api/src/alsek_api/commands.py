"""The commands that this service adds to `alsek`: `api`, and below it `keys`.

Imported whenever `alsek --help` is shown, so whatever is heavy comes when a command runs.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Annotated, Final, Literal

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Url
from alsek.defaults import DEFAULT_NAMESPACE
from alsek.exceptions import ValidationError

api = typer.Typer(
    help="Serve the HTTP API and the dashboard; make and end its keys.",
    rich_markup_mode=None,
    invoke_without_command=True,
    epilog="""\b
Examples:
  alsek api                                           on this machine, port 8000
  alsek api keys create ci --scope enqueue            make a key: it is shown this once
  alsek api --host 0.0.0.0 --port 80                  for others; refuses to start while there is no key
""",
)
keys = typer.Typer(
    help="Make, list and revoke API keys.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="""\b
Examples:
  alsek api keys create ci --scope enqueue --queue mail --expires 90d
  alsek api keys list
  alsek api keys revoke 3f9a1c0b7d24
""",
)
api.add_typer(keys, name="keys")

_UNITS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@api.callback()
def serve_api(
    context: typer.Context,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen; 0: a free port.")] = 8000,
    any_port: Annotated[
        bool, typer.Option("--any-port", help="Listen on a free port where that one is taken.")
    ] = False,
    insecure_no_auth: Annotated[
        bool, typer.Option("--insecure-no-auth", help="Serve everybody who can connect, without keys.")
    ] = False,
    check_arguments: Annotated[
        Literal["off", "warn", "enforce"], typer.Option(help="Check arguments against what the workers published.")
    ] = "warn",
    open_metrics: Annotated[bool, typer.Option("--open-metrics", help="Serve /metrics without a key.")] = False,
    cors_origins: Annotated[
        str | None,
        typer.Option(metavar="A,B", show_default=False, help="Let pages of these origins call; none by default."),
    ] = None,
    read_timeout: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="What a client gets to send its headers, and its body.")
    ] = 10,
    max_connections: Annotated[
        int, typer.Option(min=1, metavar="N", help="Connections at a time; more are refused.")
    ] = 4_000,
    max_wrong_keys: Annotated[
        int, typer.Option(min=1, metavar="N", help="Wrong keys that an address may show a minute before it must wait.")
    ] = 60,
    drain_timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="What running requests get to finish after SIGTERM.")
    ] = 15,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR or CRITICAL.")] = "INFO",
    log_format: Annotated[Literal["console", "json"], typer.Option(help="Lines for people, or for machines.")] = "json",
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
) -> None:
    """Serve the HTTP API and the dashboard; make and end its keys.

    Without a key the service answers this machine only. Exit codes: 0 after SIGTERM or Ctrl-C, 2 for a mistake.
    """
    if context.invoked_subcommand is not None:
        return
    # Also while the imports below take their time. No exception: whoever calls back from C may swallow it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    from alsek.logging import setup_logging
    from alsek_api.serve import serve
    from alsek_api.settings import ApiSettings

    settings = ApiSettings(
        url=url, namespace=namespace, partitions=partitions, host=host, port=port, any_port=any_port,
        insecure_no_auth=insecure_no_auth, check_arguments=check_arguments, open_metrics=open_metrics,
        cors_origins=tuple((cors_origins or "").replace(",", " ").split()),
        read_timeout_s=read_timeout, max_connections=max_connections, max_wrong_keys=max_wrong_keys,
        drain_timeout_s=drain_timeout, log_level=log_level, log_format=log_format,
    )  # fmt: skip
    setup_logging(log_level, log_format, root=True)
    raise typer.Exit(serve(settings))


@keys.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will use it; for people.")],
    scope: Annotated[
        list[str], typer.Option(metavar="SCOPE", help="read, enqueue, operate or admin; can be repeated.")
    ],
    queue: Annotated[
        list[str] | None,
        typer.Option(metavar="QUEUE", show_default=False, help="Only this queue, or those that begin so: mail*."),
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(metavar="TASK", show_default=False, help="Only this task, or those like it.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", show_default=False, help="Good for so long: 12h, 90d. For ever.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Requests a second. Any number.")
    ] = None,
    quota: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Messages a day (UTC). Any number.")
    ] = None,
    streams: Annotated[
        int | None, typer.Option(metavar="N", show_default=False, help="Event streams at a time.")
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Take the token from this file, as secret stores and `make secrets` make them. Again is no harm.",
        ),
    ] = None,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Make a key. The token is printed this once; Redis keeps a hash of it.

    \b
    Examples:
      alsek api keys create dashboard --scope admin
      alsek api keys create shop --scope enqueue --queue mail --task 'send_*' --rate 100 --expires 90d
      alsek api keys create first --scope admin --token-file /run/secrets/api_key
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek_api.auth.keys import make_key

    token, record = make_key(
        name, scope, queues=queue or (), tasks=task or (),
        expires_in_ms=None if expires is None else duration_ms(expires), rate=rate, quota=quota, streams=streams,
        token=None if token_file is None else _read(token_file),
    )  # fmt: skip
    _store(url, namespace, partitions).add(record)
    if token_file is not None:
        typer.echo(f"Key {record.id} for {name} holds what {token_file} says.", err=True)
    elif as_json:
        _write({"id": record.id, "token": token, "name": name, "scopes": list(record.scopes)})
    else:
        typer.echo(token)
        typer.echo(f"Key {record.id} for {name}: keep it now, it is not shown again.", err=True)


@keys.command("list")
def list_(
    url: Url = None, namespace: Namespace = DEFAULT_NAMESPACE, partitions: Partitions = 1, as_json: AsJson = False
) -> None:
    """List the keys: what each is good for, until when, and when it was used last.

    \b
    Examples:
      alsek api keys list
      alsek api keys list --json
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek.cli.connection import moment, write_table

    found = _store(url, namespace, partitions).all()
    if as_json:
        _write([
            {
                "id": record.id, "name": record.name, "scopes": list(record.scopes), "queues": list(record.queues),
                "tasks": list(record.tasks), "created_at": record.created_at, "expires_at": record.expires_at,
                "last_used_at": used, "rate": record.rate, "quota": record.quota, "streams": record.streams,
            }
            for record, used in found
        ])  # fmt: skip
        return
    if not found:
        typer.echo("There are no keys: the service answers this machine only.")
        return
    write_table(
        ("id", "name", "scopes", "limited to", "expires", "last used"),
        [
            (
                record.id, record.name, " ".join(record.scopes), " ".join((*record.queues, *record.tasks)),
                moment(record.expires_at) or "never", moment(used) or "never",
            )
            for record, used in found
        ],
    )  # fmt: skip


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="Of the key; or the token itself.")],
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """End a key: every service refuses it within seconds.

    \b
    Examples:
      alsek api keys revoke 3f9a1c0b7d24
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    record = _store(url, namespace, partitions).revoke(key)
    if as_json:
        _write({"revoked": record.id})
    else:
        typer.echo(f"Revoked key {record.id} of {record.name}.")


def duration_ms(text: str) -> int:
    """Read a time such as `90d`.

    Raises:
        ValidationError: It is none.
    """
    match = re.fullmatch(r"(\d{1,6})([smhd])", text.strip())
    if match is None or int(match[1]) == 0:
        raise ValidationError(f"a time is a number and s, m, h or d, such as 12h or 90d: {text!r}")
    return int(match[1]) * _UNITS[match[2]]


def _read(path: str) -> str:
    from pathlib import Path

    try:
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValidationError(f"the token file {path} cannot be read: {reason}") from None


def _store(url: str | None, namespace: str, partitions: int):  # type: ignore[no-untyped-def]  # imported late
    from alsek.storage.backends.redis import RedisBackend
    from alsek_api.auth.store import KeyStore

    return KeyStore(RedisBackend(url, namespace, partitions=partitions))


def _write(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))
