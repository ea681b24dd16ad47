"""What a shell is offered: commands, options, and names that Redis knows."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alsek import Broker, Message
from alsek.cli.cli import main
from alsek.storage.backends.redis import RedisBackend
from alsek.storage.backends.redis.registry import Registry
from harness.server import free_port

if TYPE_CHECKING:
    from harness.server import Server

ALSEK = str(Path(sys.executable).with_name("alsek"))


class Shell:
    """Asks as the script of bash does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch = monkeypatch
        self._output = capsys

    def offers(self, typed: str) -> list[str]:
        words = typed.split(" ")
        for name, value in (("_ALSEK_COMPLETE", "complete_bash"), ("COMP_WORDS", typed)):
            self._patch.setenv(name, value)
        self._patch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            main([], prog_name="alsek")
        return self._output.readouterr().out.split()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(monkeypatch, capsys)


@pytest.fixture
def shop(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A namespace with three queues, and a worker that has described two tasks."""
    monkeypatch.setenv("ALSEK_REDIS_URL", redis_url)
    backend = RedisBackend(redis_url, namespace="shop")
    Broker(backend).submit_many([Message("add", queue=queue) for queue in ("mail", "maths", "parcels")])
    Registry(backend).beat("w", 60_000, b"{}", b"{}", {"send_mail": b"{}", "send_parcel": b"{}"})
    return redis_url


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("alsek thr", ["thread-pool"]),
        ("alsek thread-pool --met", ["--metrics-port"]),
        ("alsek dlq rep", ["replay"]),
        ("alsek messages mail --state d", ["delayed", "dead"]),
        ("alsek dlq purge mail --reason cr", ["crash_loop"]),
        ("alsek nonsense --json", []),
    ],
)
def test_commands_options_and_fixed_words_are_offered_those_of_services_too(
    typed: str, offered: list[str], shell: Shell
) -> None:
    assert shell.offers(typed) == offered


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("alsek pause --namespace shop ma", ["mail", "maths"]),
        ("alsek resume --namespace shop ", ["mail", "maths", "parcels"]),
        ("alsek messages --namespace shop p", ["parcels"]),
        ("alsek dlq list --namespace shop p", ["parcels"]),
        ("alsek dlq replay --namespace shop mai", ["mail"]),
        ("alsek tasks --namespace shop send_p", ["send_parcel"]),
        ("alsek messages mail --namespace shop --task send", ["send_mail", "send_parcel"]),
        ("alsek pause --namespace empty ", []),
    ],
)
def test_names_of_queues_and_tasks_are_offered(typed: str, offered: list[str], shell: Shell, shop: str) -> None:
    assert shell.offers(typed) == offered


def test_names_are_those_of_the_namespace_that_environment_and_file_name(
    shell: Shell, shop: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "alsek.toml"
    file.write_text('namespace = "shop"\n')
    monkeypatch.setenv("ALSEK_CONFIG", str(file))
    by_file = shell.offers("alsek pause p")
    monkeypatch.setenv("ALSEK_NAMESPACE", "other")

    assert (by_file, shell.offers("alsek pause p")) == (["parcels"], [])


@pytest.mark.parametrize("trouble", ["nobody listens", "frozen", "a broken file"])
def test_no_names_are_offered_where_they_cannot_be_had_soon(
    trouble: str, shell: Shell, shop: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if trouble == "nobody listens":
        monkeypatch.setenv("ALSEK_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    elif trouble == "frozen":
        server.pause()
    else:
        monkeypatch.setenv("ALSEK_CONFIG", str(tmp_path / "missing.toml"))

    assert shell.offers("alsek pause --namespace shop ma") == []
    if trouble == "frozen":  # nobody waited for it any longer
        assert any(thread.name == "ask-names" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("name", "variables", "offered"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "alsek pause ma"}, '_arguments \'*: :(("mail" "maths"))\''),
        ("fish", {"_TYPER_COMPLETE_ARGS": "alsek pause ma", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}, "mail\nmaths"),
    ],
)
def test_other_shells_are_answered_as_they_ask(
    name: str,
    variables: dict[str, str],
    offered: str,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable, value in variables.items() | {("_ALSEK_COMPLETE", f"complete_{name}"), ("ALSEK_NAMESPACE", "shop")}:
        monkeypatch.setenv(variable, value)

    with pytest.raises(SystemExit):
        main([], prog_name="alsek")

    assert capsys.readouterr().out.split() == offered.split()


def test_the_script_completes_in_a_real_bash(shop: str) -> None:
    script = f"""
eval "$({shlex.quote(ALSEK)} --show-completion)"
COMP_WORDS=(alsek pause --namespace shop ma) COMP_CWORD=4
_alsek_completion {shlex.quote(ALSEK)}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, env=os.environ)

    assert done.stdout.split() == ["mail", "maths"], done.stderr


@pytest.mark.parametrize(
    ("name", "line"), [("bash", "complete -o default -F _alsek_completion alsek"), ("zsh", "#compdef alsek"),
                       ("fish", "complete --command alsek --no-files")],
)  # fmt: skip
def test_the_script_of_any_shell_can_be_had(
    name: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_ALSEK_COMPLETE", f"source_{name}")

    with pytest.raises(SystemExit):
        main([], prog_name="alsek")

    assert line in capsys.readouterr().out


def test_completion_is_installed_for_the_shell_in_use(tmp_path: Path) -> None:
    script = f"{shlex.quote(ALSEK)} --install-completion && bash -c 'source ~/.bashrc; complete -p alsek'"
    environment = os.environ | {"HOME": str(tmp_path), "SHELL": "/bin/bash"}

    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, env=environment)

    assert done.returncode == 0, done.stderr
    assert "bash completion installed in" in done.stdout
    assert "_alsek_completion alsek" in done.stdout
