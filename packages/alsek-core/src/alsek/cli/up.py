"""`alsek up`: everything a package needs to run on this machine, in one terminal."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotation when the command is made
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from alsek.exceptions import BackendUnavailableError

if TYPE_CHECKING:
    from alsek.cli.troupe import Troupe
    from alsek.core.broker import Broker
    from alsek.embedded.address import Address

#: Commands of services that join when they are installed, in the order of their start.
COMPONENTS: Final = ("worker", "scheduler", "api")


def up(
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="Module or package with the tasks.")],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            show_default=False,
            help="Where a server started here keeps its data. .alsek/valkey by default.",
        ),
    ] = None,
    drain_timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="What running work gets to finish after Ctrl-C.")
    ] = 30,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING, ERROR or CRITICAL.")] = "INFO",
    log_format: Annotated[
        Literal["console", "json"], typer.Option(help="Lines for people, or for machines.")
    ] = "console",
) -> None:
    """Start whatever PACKAGE needs to run on this machine, in one terminal.

    A Valkey server, if nothing answers at the URL of the package's broker and that is on this machine; a worker for
    all its tasks; where they are installed, a scheduler if the package has triggers, and the HTTP API with its
    dashboard (port 8000, or another if that is taken). One Ctrl-C stops everything, the server last; a second one
    hurries.

    \b
    Examples:
      alsek up my_tasks
      ALSEK_REDIS_URL=redis://localhost:6400/0 alsek up my_app.tasks --data-dir /var/tmp/my_app
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek.cli.terminal import Terminal
    from alsek.cli.troupe import Troupe
    from alsek.core.discovery import collect_tasks
    from alsek.embedded import DEFAULT_DATA_DIR

    tasks = collect_tasks(package)
    broker = tasks[0].broker
    logs = ["--log-level", log_level, "--log-format", log_format]
    address = _address(broker)
    options = {
        "worker": [package, "--drain-timeout", f"{drain_timeout:g}", *logs],
        "scheduler": [package, *logs],
        "api": [
            "--namespace",
            broker.redis.namespace,
            "--partitions",
            str(broker.keys.partitions),
            "--any-port",
            *logs,
        ],
    }  # fmt: skip
    # Not among the options: those are for everybody to see.
    environment = {"ALSEK_REDIS_URL": address.secret_url} if address is not None else {}
    components = _components(
        api=address is not None, triggers=any(getattr(task, "trigger", None) is not None for task in tasks)
    )
    with Troupe(Terminal(width=max(map(len, [*components, "server"])))) as troupe:
        _provide_server(troupe, address, data_dir or DEFAULT_DATA_DIR)
        for name in components:
            troupe.start(name, [name, *options[name]], environment if name == "api" else {})
        troupe.say("Everything runs; Ctrl-C stops it.")
        code = troupe.wait()
    raise typer.Exit(code)


def _provide_server(troupe: Troupe, address: Address | None, data_dir: Path) -> None:
    from alsek.embedded import EmbeddedServer

    if address is None:
        troupe.say("The package brings a Redis of its own.")
    elif address.is_taken():
        troupe.say(f"A server answers at {address.url} already.")
    elif not address.is_local:
        raise BackendUnavailableError(
            f"nothing answers at {address.url}, and a server can be started on this machine only"
        )
    else:
        server = EmbeddedServer(address.secret_url, data_dir=data_dir).start()
        troupe.add("server", server.process)
        troupe.say(f"Valkey listens at {address.url} and keeps its data in {server.data_dir}.")


def _address(broker: Broker) -> Address | None:
    """Give where the broker's Redis is; `None` for a socket in the file system or something more involved."""
    from alsek.embedded.address import Address

    settings = broker.redis.settings
    facts = settings["connection"]
    if "path" in facts or "host" not in facts:
        return None
    return Address(
        facts["host"],
        int(facts.get("port", 6379)),
        facts.get("username"),
        facts.get("password"),
        int(facts.get("db", 0)),
        "rediss" if settings["tls"] else "redis",
    )


def _components(*, triggers: bool, api: bool) -> list[str]:
    from alsek.cli import services

    services.find("worker")  # says what to install when it is missing; the others may be
    left_out = {name for name, wanted in (("scheduler", triggers), ("api", api)) if not wanted}
    return [name for name in COMPONENTS if name in services.installed() and name not in left_out]
