"""Crash a client at each of its commands in turn, and look at what is left (test C1).

A scenario is a function `scenario(url, journal, **arguments)` in an importable module:
`url` leads through the proxy, `journal` is the folder of this run. One clean run counts
its N commands; then for each k in 1..N and each variant it runs again in a fresh process
on an empty server, meets its fault at command k, and the test's `recover` and `check`
look at the server directly.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any, Literal

from harness.faults import SETUP_COMMANDS
from harness.procfs import kill_now
from harness.proxy import Proxy
from harness.server import Server
from harness.warm import Run, Warm

Variant = Literal["kill_before", "kill_after_reply_dropped", "drop_reply_keep_client", "cut_before_keep_client"]

Fate = Variant | Literal["none"]

#: Killed before command k, killed after it ran, alive but left without the answer.
VARIANTS: tuple[Variant, ...] = ("kill_before", "kill_after_reply_dropped", "drop_reply_keep_client")


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One run: where it broke and how it ended."""

    #: Number of the command that met the fault; 0 for the clean run.
    k: int
    #: Commands of the clean run.
    total: int
    variant: Fate
    #: Name and first arguments of command k.
    command: str
    #: 0 returned, 1 raised, -9 killed.
    exit_code: int
    #: Output of the client.
    log: str
    #: Folder of this run's journal.
    journal: Path


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep covered."""

    #: Labels of the clean run's commands, in order.
    commands: tuple[str, ...]
    runs: int
    #: Points whose command never came, because the client took fewer commands this time.
    unreached: tuple[str, ...]
    seed: int


Look = Callable[[CrashPoint], None]


@dataclass(frozen=True, slots=True)
class _Rig:
    target: str
    arguments: Mapping[str, Any]
    server: Server
    proxy: Proxy
    warm: Warm
    directory: Path
    prepare: Callable[[], None] | None
    timeout: float

    def attempt(
        self,
        k: int,
        variant: Fate,
        commands: Sequence[str],
        recover: Look | None,
        check: Look,
        *,
        may_raise: bool,
    ) -> list[str]:
        """Break one run, look at it and say what is wrong."""
        command = commands[k - 1] if k else ""
        place = f"k={k}/{len(commands)} variant={variant} command={command!r}"
        folder = self.directory / f"{k:03}-{variant}"
        folder.mkdir(parents=True)
        try:
            run, code = self._run(k, variant, folder)
        except AssertionError as hang:
            return [f"{place}: {hang}"]
        point = CrashPoint(k, len(commands), variant, command, code, run.log, folder)
        killed = code == -9 and variant.startswith("kill_")
        if code and not killed and not may_raise:
            return [f"{place} exit={code}: the client failed; log:\n{run.log}"]
        try:
            if recover is not None:
                recover(point)
            check(point)
        except Exception as error:
            return [f"{place} exit={code}: {type(error).__name__}: {error}"]
        return []

    def _run(self, k: int, variant: Fate, folder: Path) -> tuple[Run, int]:
        self.server.flush(scripts=True)
        if self.prepare is not None:
            self.prepare()
        newest = self.server.newest_connection()
        self.proxy.forgive()
        self.proxy.recount()
        victim = _Victim()
        self._plan(k, variant, victim)
        log = folder / "client.log"
        run = self.warm.start(self.target, log, url=self.proxy.url, journal=str(folder), **self.arguments)
        victim.found(run)
        try:
            return run, run.wait(self.timeout)
        finally:
            self.proxy.forgive()
            self.proxy.reset_all()
            self.server.wait_disconnected(newest)

    def _plan(self, k: int, variant: Fate, victim: "_Victim") -> None:
        match variant:
            case "kill_before":
                self.proxy.cut_before(k, then=victim.kill)
            case "kill_after_reply_dropped":
                self.proxy.drop_reply(k, then=victim.kill)
            case "drop_reply_keep_client":
                self.proxy.drop_reply(k)
            case "cut_before_keep_client":
                self.proxy.cut_before(k)


class _Victim:
    """The client to kill; it may reach command k before we were told its pid."""

    def __init__(self) -> None:
        self._run: Run | None = None
        self._known = Event()

    def found(self, run: Run) -> None:
        self._run = run
        self._known.set()

    def kill(self) -> None:
        if self._known.wait(10) and self._run is not None:
            kill_now(self._run.pid)


def sweep(
    target: str,
    *,
    server: Server,
    directory: Path,
    check: Look,
    prepare: Callable[[], None] | None = None,
    recover: Look | None = None,
    arguments: Mapping[str, Any] | None = None,
    modules: Sequence[str] = (),
    variants: Sequence[Variant] = VARIANTS,
    sample: int | None = None,
    seed: int = 0,
    timeout: float = 15.0,
    may_fail: Collection[str] = (),
    ignored: frozenset[bytes] = SETUP_COMMANDS,
) -> SweepReport:
    """Run the scenario once cleanly and once per crash point; raise with every failure.

    Args:
        target: The scenario as `module:function`.
        server: Flushed before every run, scripts included.
        directory: Journals and logs go below it, one folder per run.
        check: Raises if the state after the run (and `recover`) is wrong; also asked
            after the clean run, with `k` 0.
        prepare: Fills the empty server before each run, not through the proxy.
        recover: Does what a living system would do next (expire leases, run a worker).
        arguments: More arguments of the scenario, as JSON values.
        modules: Imported before the first fork, besides the scenario's own.
        variants: Faults to try at each command.
        sample: Try only that many points, chosen by `seed`.
        seed: Of the sample.
        timeout: Seconds a client may take.
        may_fail: Variants whose client may raise although it was not killed.
        ignored: Names of commands that are not counted.

    Raises:
        AssertionError: Lists every point whose check failed or whose client misbehaved.
    """
    failures: list[str] = []
    unreached: list[str] = []
    home = target.partition(":")[0]
    with (
        Proxy(server.port, password=server.password, ignored=ignored) as proxy,
        Warm([home, *modules], directory=directory) as warm,
    ):
        rig = _Rig(target, arguments or {}, server, proxy, warm, directory, prepare, timeout)
        failures += rig.attempt(0, "none", (), recover, check, may_raise=False)
        commands = tuple(seen.label for seen in proxy.seen)
        points = list(product(range(1, len(commands) + 1), variants))
        if sample is not None and sample < len(points):
            points = sorted(random.Random(seed).sample(points, sample))
        for k, variant in points:
            failures += rig.attempt(k, variant, commands, recover, check, may_raise=variant in may_fail)
            if not proxy.fired:
                unreached.append(f"k={k}/{len(commands)} variant={variant} command={commands[k - 1]!r}")
    report = SweepReport(commands, 1 + len(points), tuple(unreached), seed)
    print(
        f"sweep={target} commands={len(commands)} runs={report.runs} unreached={len(unreached)} "
        f"failed={len(failures)} seed={seed}",
        flush=True,
    )
    if failures:
        raise AssertionError(f"{len(failures)} of {report.runs} runs of {target} failed:\n" + "\n".join(failures))
    return report
