"""The program `alsek`: its own commands, those of installed services, and how a mistake is told.

Nothing heavy is imported before a command runs: `alsek --version` and the completion of a shell answer at once.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from alsek.cli import services
from alsek.cli.loading import made, summary
from alsek.exceptions import AlsekError

#: The commands of the core in the order of `--help`: module and name of the function or Typer.
COMMANDS: Final = {
    "up": ("up", "up"),
    "queues": ("look", "queues"),
    "top": ("top", "top"),
    "messages": ("look", "messages"),
    "workers": ("roster", "workers"),
    "tasks": ("roster", "tasks"),
    "show": ("look", "show"),
    "explain": ("look", "explain"),
    "revoke": ("look", "revoke"),
    "pause": ("operate", "pause"),
    "resume": ("operate", "resume"),
    "reprioritize": ("operate", "reprioritize"),
    "run-now": ("operate", "run_now"),
    "dlq": ("dead_letters", "dlq"),
    "schedules": ("schedules", "schedules"),
    "fsck": ("fsck", "fsck"),
    "doctor": ("doctor", "doctor"),
    "exporter": ("exporter", "exporter"),
    "acl": ("acl", "acl"),
}

#: A mistake that the user can mend, as shells and click count it.
USAGE = 2

TRACEBACK_VARIABLE = "ALSEK_TRACEBACK"


class UnknownCommandError(AlsekError):
    """There is no such command."""


class CommandLine(TyperGroup):
    """The commands of the core, and those of the services that are installed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - they are the same everywhere
        """Name the commands that can be run here."""
        return [*COMMANDS, *services.installed()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make a command, or say what is the matter with its name.

        Raises:
            ServiceNotInstalledError: Its service is not here.
            UnknownCommandError: Nobody brings it.
        """
        loaded = _load(cmd_name)
        if loaded is not None:
            return made(loaded, cmd_name)
        if not cmd_name.startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(cmd_name, self.list_commands(ctx), 1)
            hint = f"did you mean `alsek {close[0]}`?" if close else "`alsek --help` lists them"
            raise UnknownCommandError(f"there is no command `{cmd_name}`; {hint}")
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is about to run, and let its options be set from outside."""
        from alsek.cli.configuration import configure

        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and command is not None:
            lasting = services.configurable()
            configure(command, name, lasting, service=name in lasting)
        return name, command, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands; none of them is made for that, which would cost most of the time."""
        rows = [(name, summary(_load(name))) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, and end a mistake of the user's in one line on stderr."""
        try:
            return super().main(*args, **kwargs)
        except (AlsekError, ValueError) as error:
            if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
                raise
            typer.echo(f"alsek: {' '.join(str(error).split())}", err=True)
            sys.exit(USAGE)


app = typer.Typer(
    cls=CommandLine,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  alsek up my_tasks                        a server (where none answers) and a worker, in one terminal
  alsek thread-pool my_tasks               run the tasks of my_tasks.py in threads
  alsek worker my_app --queues mail,math   run every kind of task below the package my_app
  alsek queues                             what waits, runs and died
  alsek top                                queues, workers and their pace, live
  alsek workers                            who works here, and on what
  alsek explain 01a20e33-...               why a message does not run now
  alsek pause mail                         let nothing more of a queue start, until `alsek resume mail`
  alsek fsck                               check that what stands in Redis is whole
  alsek doctor                             check Redis, its settings and the workers, and say what to do
  alsek bench                              how fast all this is on this machine and this Redis
  alsek acl worker                         what a worker's user in Redis has to be allowed
""",
)


def _load(name: str) -> Any:
    if name not in COMMANDS:
        return services.find(name)
    module, attribute = COMMANDS[name]
    return getattr(import_module(f"alsek.cli.{module}"), attribute)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("alsek-core"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001 - it has done its work when this is called
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show the traceback of a mistake too, as ALSEK_TRACEBACK=1 does.")
    ] = False,
) -> None:
    """Alsek: a distributed task queue for Python, on Redis and Valkey."""
    if traceback:
        # Read where the mistake is told, and inherited by the programs that we start.
        os.environ[TRACEBACK_VARIABLE] = "1"


main: Any = typer.main.get_command(app)
