"""`alsek doctor`: is this Redis fit for Alsek, and is everything that should work at work?"""

from __future__ import annotations

from typing import Final

import typer

from alsek.cli.connection import AsJson, Namespace, Partitions, Url, inspector, write_json, write_table
from alsek.defaults import DEFAULT_NAMESPACE

#: Exit codes; 2 is also that of a mistake on the command line.
CODES: Final = {"ok": 0, "warning": 1, "error": 2}

_MARKS: Final = {"ok": "ok", "warning": "WARNING", "error": "ERROR"}


def doctor(
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Check Redis, its settings, the queues and the workers, and say what to do. Changes nothing.

    Looks at the connection, the version, the eviction policy, what persistence buys, memory, latency, clocks, scripts,
    permissions, queues without a worker and workers that are silent or of another release.

    Exit codes, for CI and deployments: 0 all is well; 1 it works and something is to be done; 2 messages are in danger,
    or nothing works.

    \b
    Examples:
      alsek doctor
      alsek doctor --url rediss://redis.internal:6380/0 --namespace shop
      alsek doctor --json | jq -r '.[] | select(.grade != "ok") | .advice'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from importlib.metadata import version

    from alsek.tools.checkup import check_up

    findings = list(check_up(inspector(url, namespace, partitions), version("alsek-core")))
    if as_json:
        write_json(findings)
    else:
        write_table(
            ("check", "grade", "found", "what to do"),
            [(one.check, _MARKS[one.grade], one.found, one.advice) for one in findings],
        )
    raise typer.Exit(max(CODES[one.grade] for one in findings))
