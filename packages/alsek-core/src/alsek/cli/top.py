"""`alsek top`: queues, workers and their pace, live in a terminal."""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from alsek.cli.connection import (
    NARROW,
    AsJson,
    Namespace,
    Partitions,
    Url,
    fewer,
    inspector,
    make_table,
    span,
    write_json,
)
from alsek.cli.look import NARROW_QUEUES, queue_table
from alsek.cli.operate import who
from alsek.cli.roster import NARROW_WORKERS, worker_table
from alsek.defaults import DEFAULT_NAMESPACE
from alsek.exceptions import AlsekError, ValidationError

if TYPE_CHECKING:
    from alsek.tools.inspector import Inspector, Minute, QueueInfo, WorkerInfo

#: How queues can be sorted; each pressed `s` takes the next.
_ORDERS: Final = ("name", "ready", "waiting", "pace")

#: Minutes of the curve below the tables.
_CURVE_MINUTES: Final = 60

_BARS: Final = " ▁▂▃▄▅▆▇█"


def top(
    interval: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="Between two looks.")] = 2.0,
    url: Url = None,
    namespace: Namespace = DEFAULT_NAMESPACE,
    partitions: Partitions = 1,
    as_json: AsJson = False,
) -> None:
    """Watch queues, workers and their pace, live. Needs a terminal; --json writes one look and ends.

    Keys: up and down (or j and k) choose a queue, p pauses or resumes it (after y), s sorts, f freezes the screen, q
    ends.

    \b
    Examples:
      alsek top
      alsek top --interval 0.5 --namespace shop
      alsek top --json | jq '.queues | length'
    """  # noqa: D301 - the escape keeps the lines of the examples apart
    look = inspector(url, namespace, partitions)
    if as_json:
        write_json({"queues": look.queues(), "workers": look.workers()})
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ValidationError("alsek top needs a terminal; `alsek top --json` or `alsek queues` answer without one")
    look.now_ms()  # a wrong address is told now, in one line
    Screen(look, namespace, interval).run()


class Frame(NamedTuple):
    """One look."""

    now_ms: int
    queues: list[QueueInfo]
    workers: list[WorkerInfo]
    curve: list[Minute]


@dataclass
class _Choice:
    """What the keys have chosen; `question` is the queue that is to be paused or resumed after a `y`."""

    queue: str = ""
    order: str = _ORDERS[0]
    frozen: bool = False
    question: str = ""
    told: str = ""
    shown: list[str] = field(default_factory=list)


class Screen:
    """The live view.

    Args:
        look: Whose queues.
        namespace: Shown on top.
        interval: Seconds between two looks.
    """

    def __init__(self, look: Inspector, namespace: str, interval: float) -> None:
        self._look = look
        self._namespace = namespace
        self._interval = interval
        self._choice = _Choice()
        self._frame: Frame | None = None
        self._trouble = ""
        self._ended = threading.Event()
        self._again = threading.Event()

    def run(self) -> None:
        """Show until `q`, Ctrl-C or SIGTERM; the terminal is as before then."""
        from rich.console import Console
        from rich.live import Live

        from alsek.cli.keyboard import Keyboard

        signal.signal(signal.SIGTERM, _leave)
        threading.Thread(target=self._keep_looking, name="look", daemon=True).start()
        console = Console()
        try:
            with (
                Keyboard() as keyboard,
                Live(self._picture(console), console=console, screen=True, auto_refresh=False) as live,
            ):
                while self._obey(keyboard.pressed(0.1)):
                    live.update(self._picture(console), refresh=True)
        except KeyboardInterrupt:
            pass
        finally:
            self._ended.set()
            self._again.set()

    # What is seen.

    def _keep_looking(self) -> None:
        # In a thread of its own: while Redis is away, the keys work.
        while not self._ended.is_set():
            began = time.monotonic()
            if not self._choice.frozen:
                self._see()
            self._again.wait(max(0.05, self._interval - (time.monotonic() - began)))
            self._again.clear()

    def _see(self) -> None:
        try:
            queues, workers, now = self._look.queues(), self._look.workers(), self._look.now_ms()
            chosen = self._choice.queue or (queues[0].name if queues else "")
            curve = self._look.throughput(chosen, _CURVE_MINUTES) if chosen else []
        except AlsekError as error:
            self._trouble = " ".join(str(error).split())
        else:
            self._frame, self._trouble = Frame(now, queues, workers, curve), ""

    # What the keys do.

    def _obey(self, key: str) -> bool:
        choice = self._choice
        if choice.question and key:
            queue, choice.question = choice.question, ""
            choice.told = self._switch(queue) if key == "y" else ""
            return True
        match key:
            case "q" | "ctrl-c":
                return False
            case "up" | "k" | "down" | "j":
                self._move(-1 if key in ("up", "k") else 1)
            case "p":
                choice.question = choice.queue
            case "s":
                choice.order = _ORDERS[(_ORDERS.index(choice.order) + 1) % len(_ORDERS)]
            case "f":
                choice.frozen = not choice.frozen
                self._again.set()
        return True

    def _move(self, by: int) -> None:
        shown = self._choice.shown
        if shown:
            at = shown.index(self._choice.queue) if self._choice.queue in shown else 0
            self._choice.queue = shown[min(max(0, at + by), len(shown) - 1)]
            self._again.set()

    def _switch(self, queue: str) -> str:
        try:
            if self._paused(queue):
                self._look.resume(queue)
                told = f"Resumed {queue}."
            else:
                self._look.pause(queue, "by a key in alsek top", by=who())
                told = f"Paused {queue}."
        except AlsekError as error:
            told = " ".join(str(error).split())
        self._again.set()
        return told

    def _paused(self, queue: str) -> bool:
        frame = self._frame
        return frame is not None and any(q.name == queue and q.paused is not None for q in frame.queues)

    # What is shown.

    def _picture(self, console: Any) -> Any:
        from rich.console import Group
        from rich.text import Text

        frame, choice = self._frame, self._choice
        if frame is None:
            return Text(self._trouble or "Looking ...")
        queues = _sorted(frame.queues, choice.order)
        choice.shown = [queue.name for queue in queues]
        if choice.queue not in choice.shown:
            choice.queue = choice.shown[0] if choice.shown else ""
        # Totals, headings, curve and footer take sixteen lines at most; queues get two thirds of the rest.
        room = max(4, console.height - 16)
        some = _window(queues, choice.shown.index(choice.queue) if choice.queue else 0, max(2, room * 2 // 3))
        most_workers = max(2, room - len(some))
        wide = console.width >= NARROW
        shown = queue_table(some)
        table = make_table(*(shown if wide else fewer(shown, NARROW_QUEUES)), narrow=True, cut=True)
        if choice.queue:
            table.rows[[queue.name for queue in some].index(choice.queue)].style = "reverse"
        known = worker_table(frame.workers[:most_workers], frame.now_ms)
        workers = make_table(*(known if wide else fewer(known, NARROW_WORKERS)), narrow=True, cut=True)
        more = len(frame.workers) - most_workers
        return Group(
            Text(_totals(frame, self._namespace), style="bold"),
            table,
            workers if frame.workers else Text("No worker lives here.", style="red"),
            Text(f"... and {more} more workers" if more > 0 else ""),
            Text(_curve(choice.queue, frame.curve)),
            Text(self._foot(), style="red" if self._trouble else "dim"),
        )

    def _foot(self) -> str:
        choice = self._choice
        if choice.question:
            verb = "Resume" if self._paused(choice.question) else "Pause"
            return f"{verb} {choice.question}? y / n"
        if self._trouble:
            return f"Redis does not answer, this is what was: {self._trouble}"
        frozen = "  FROZEN" if choice.frozen else ""
        keys = f"q quit  up/down choose  p pause/resume  s sort ({choice.order})  f freeze"
        return f"{keys}{frozen}  {choice.told}".rstrip()


def _totals(frame: Frame, namespace: str) -> str:
    ready, running, delayed, dead = (
        sum(getattr(queue, state) for queue in frame.queues) for state in ("ready", "running", "delayed", "dead")
    )
    busy, slots = sum(w.busy for w in frame.workers), sum(w.slots for w in frame.workers)
    into = sum(queue.submitted_per_minute for queue in frame.queues)
    out = sum(queue.finished_per_minute for queue in frame.queues)
    clock = time.strftime("%H:%M:%S", time.gmtime(frame.now_ms / 1000))
    return (
        f"alsek {namespace}  {clock} UTC  ready {ready:,}  running {running:,}  delayed {delayed:,}  dead {dead:,}  "
        f"in {into:,.0f}/min  out {out:,.0f}/min  workers {len(frame.workers)}  slots {busy}/{slots}"
    )


def _curve(queue: str, minutes: list[Minute]) -> str:
    if not minutes:
        return ""
    finished = [minute.succeeded + minute.failed for minute in minutes]
    most = max(finished)
    bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // most) if most else 0] for count in finished)
    waits = [minute.wait_ms for minute in minutes[-5:] if minute.wait_ms is not None]
    wait = f", waited {span(waits[-1])}" if waits else ""
    return f"{queue}, finished in each of the last {len(minutes)} minutes (at most {most:,}{wait}): {bars}"


def _sorted(queues: list[QueueInfo], order: str) -> list[QueueInfo]:
    def key(queue: QueueInfo) -> tuple[float, str]:
        first = {"ready": queue.ready, "waiting": queue.waiting_ms, "pace": queue.finished_per_minute}
        return -first.get(order, 0), queue.name

    return sorted(queues, key=key)


def _window(queues: list[QueueInfo], chosen: int, size: int) -> list[QueueInfo]:
    start = min(max(0, chosen - size // 2), max(0, len(queues) - size))
    return queues[start : start + size]


def _leave(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
