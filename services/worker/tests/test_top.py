"""`alsek top` in a pseudo-terminal, as a person sees it, and `--watch`: on a real server with a real worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from alsek.core.message import Message
from alsek.tools.inspector import Inspector
from harness.processes import alsek
from harness.terminal import Terminal

if TYPE_CHECKING:
    from worker_stage import Stage


def top(stage: Stage, terminals: list[Terminal], url: str = "", columns: int = 160) -> Terminal:
    terminal = Terminal(alsek("top", "--interval", "0.2"), url or stage.url, columns)
    terminals.append(terminal)
    return terminal


def test_top_shows_queues_workers_and_their_pace_and_leaves_the_terminal_as_it_was(
    stage: Stage, terminals: list[Terminal]
) -> None:
    stage.pool("thread-pool", "--n-processes", "1", "--lease", "2")
    for _ in range(5):
        stage.wait_state(stage.submit("in_thread"), "S")
    stage.broker.submit(Message("send", queue="mail"))

    terminal = top(stage, terminals)

    terminal.wait_for(r"alsek alsek .* UTC  ready 1  running 0  delayed 0  dead 0  in \d+/min  out \d+/min  workers 1")
    terminal.wait_for(r"mail +1 ")
    terminal.wait_for(r"threads")
    terminal.wait_for(r"q quit")
    terminal.wait_for(r" running  ?threads ")
    terminal.press("j")
    terminal.wait_for(r"threads, finished in each of the last 60 minutes \(at most [1-5],? .*█")
    terminal.press("q")
    assert terminal.ended() == 0
    assert terminal.settings == terminal.before
    assert "Traceback" not in terminal.text


def test_a_queue_is_paused_and_resumed_by_a_key_once_that_was_confirmed(
    stage: Stage, terminals: list[Terminal]
) -> None:
    stage.broker.submit(Message("send", queue="mail"))
    inspector = Inspector(stage.broker)
    terminal = top(stage, terminals)
    terminal.wait_for("q quit")

    terminal.press("p")
    terminal.wait_for(r"Pause mail\? y / n")
    terminal.press("n")
    terminal.wait_for("q quit")
    assert inspector.queue("mail").paused is None

    terminal.press("p")
    terminal.wait_for(r"Pause mail\?")
    terminal.press("y")
    terminal.wait_for(r"Paused mail\.")
    terminal.wait_for("paused: by a key in alsek top")
    pause = inspector.queue("mail").paused
    assert pause is not None
    assert "@" in pause.by

    terminal.press("p")
    terminal.wait_for(r"Resume mail\?")
    terminal.press("y")
    terminal.wait_for(r"Resumed mail\.")
    assert inspector.queue("mail").paused is None
    terminal.press("\x03")
    assert terminal.ended() == 0
    inspector.close()


def test_top_fits_into_a_narrow_terminal(stage: Stage, terminals: list[Terminal]) -> None:
    stage.broker.submit_many([Message("send", queue=f"queue{n:02d}") for n in range(60)])
    terminal = top(stage, terminals, columns=80)

    terminal.wait_for(r"queue00 +1 +0 +0 +0 ")
    terminal.wait_for(r"q quit")
    assert "queue40" not in terminal.text
    for _ in range(45):
        terminal.press("j")
    terminal.wait_for(r"queue45 +1 ")


def test_keys_sort_and_freeze(stage: Stage, terminals: list[Terminal]) -> None:
    stage.broker.submit(Message("send", queue="a"))
    stage.broker.submit_many([Message("send", queue="b") for _ in range(2)])
    terminal = top(stage, terminals)
    terminal.wait_for(r"sort \(name\)")

    terminal.press("s")
    terminal.wait_for(r"sort \(ready\)")
    terminal.press("f")
    terminal.wait_for("FROZEN")
    stage.broker.submit_many([Message("send", queue="b") for _ in range(40)])
    terminal.press("k")
    terminal.wait_for(r"b +0? *2 ")
    terminal.press("f")
    terminal.wait_for(r"\bb +42 ")
    os.kill(terminal.process.pid, signal.SIGTERM)
    assert terminal.ended() == 0
    assert terminal.settings == terminal.before


def test_a_redis_that_went_away_is_told_and_the_keys_work(stage: Stage, terminals: list[Terminal]) -> None:
    from harness.server import Server

    with Server() as server:
        terminal = top(stage, terminals, url=server.url)
        terminal.wait_for("q quit")
        server.stop()

        terminal.wait_for("Redis does not answer, this is what was:", 60)
        terminal.press("q")
        assert terminal.ended() == 0


def test_without_a_terminal_top_says_what_to_do_and_json_answers(stage: Stage) -> None:
    stage.broker.submit(Message("send", queue="mail"))
    env = os.environ | {"ALSEK_REDIS_URL": stage.url}

    refused = subprocess.run(alsek("top"), env=env, capture_output=True, text=True, timeout=120, check=False)
    told = subprocess.run(alsek("top", "--json"), env=env, capture_output=True, text=True, timeout=120, check=True)

    assert refused.returncode == 2
    assert refused.stderr == (
        "alsek: alsek top needs a terminal; `alsek top --json` or `alsek queues` answer without one\n"
    )
    assert [queue["name"] for queue in json.loads(told.stdout)["queues"]] == ["mail"]


@pytest.mark.parametrize("command", ["queues", "workers"])
def test_watch_looks_again_and_again(command: str, stage: Stage) -> None:
    stage.broker.submit(Message("send", queue="mail"))
    env = os.environ | {"ALSEK_REDIS_URL": stage.url, "PYTHONUNBUFFERED": "1"}

    watched = subprocess.Popen(
        alsek(command, "--watch", "0.2", "--json"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    assert watched.stdout is not None
    lines = [watched.stdout.readline() for _ in range(3)]
    watched.send_signal(signal.SIGINT)
    _, complaint = watched.communicate(timeout=120)
    assert [[queue.get("name") for queue in json.loads(line)] for line in lines] == [
        ["mail"] if command == "queues" else []
    ] * 3
    assert (watched.returncode, complaint) == (0, "")


@pytest.mark.parametrize("columns", [80, 160])
def test_watch_in_a_terminal_shows_the_table_in_place(columns: int, stage: Stage, terminals: list[Terminal]) -> None:
    stage.broker.submit(Message("send", queue="mail"))
    terminal = Terminal(alsek("queues", "--watch", "0.2"), stage.url, columns)
    terminals.append(terminal)

    terminal.wait_for(r"mail[ │]+1 ")
    stage.broker.submit(Message("send", queue="mail"))
    terminal.wait_for(r"mail[ │]+2 ")
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.ended() == 0
