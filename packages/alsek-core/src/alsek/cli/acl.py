"""`alsek acl`: the users that Redis should know, each with what its role needs."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from alsek.cli.connection import AsJson, write_json
from alsek.defaults import DEFAULT_NAMESPACE


def acl(
    roles: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ROLE]...", show_default=False, help="producer, worker, scheduler, api, exporter. All by default."
        ),
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Namespace of the backend.")] = DEFAULT_NAMESPACE,
    form: Annotated[
        Literal["setuser", "aclfile"], typer.Option("--format", help="Commands for redis-cli, or lines of an ACL file.")
    ] = "setuser",
    prefix: Annotated[str, typer.Option(metavar="TEXT", help="In front of the users' names.")] = "alsek-",
    password_file: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ROLE=]FILE",
            show_default=False,
            help="Holds the password of a role, or of all; only its SHA-256 is written. May be repeated.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the users that Redis needs, one for each role, with no more rights than its work takes.

    For Redis 7.0 and later, and Valkey. On a cluster, and behind Sentinels, every server needs them. Whoever may write
    the keys of a namespace can have workers run any registered task: guard the passwords of these users well. Roles
    that run scripts may run any script, but only on their own keys and with their own commands.

    \b
    Examples:
      alsek acl                                              all roles, with a place for each password
      alsek acl worker --password-file /run/secrets/worker | redis-cli
      alsek acl --format aclfile --password-file api=api.pw --password-file worker=worker.pw > users.acl

    \b
    Exit codes: 0 written, 2 unknown role or unreadable file.
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    from alsek.storage.backends.redis.address import read_secret
    from alsek.tools.access import ROLES, lines, role_of, rules

    chosen = [role_of(name).name for name in dict.fromkeys(roles or ROLES)]
    passwords: dict[str, str] = {}
    for given in password_file or ():
        role, equals, path = given.partition("=")
        if equals:
            role = role_of(role).name
            passwords[role] = read_secret(path)
        else:
            passwords = dict.fromkeys(chosen, read_secret(given)) | passwords
    if as_json:
        users = [
            {
                "user": f"{prefix}{role}",
                "role": role,
                "purpose": ROLES[role].purpose,
                "rules": rules(role, namespace, passwords.get(role)),
            }
            for role in chosen
        ]
        write_json({"users": users})
        return
    for line in lines(chosen, namespace, form, prefix, passwords):
        typer.echo(line)
