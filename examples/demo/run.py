"""`make demo`: a server, a worker and some real work, all on this machine and gone without a trace afterwards."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from alsek import Message
from alsek.core.status.types import TaskStatus
from alsek.embedded import EmbeddedServer

HERE = Path(__file__).parent
PAGES = 400
console = Console()


def main() -> int:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="alsek-demo-") as folder:
        with EmbeddedServer("redis://127.0.0.1:0/0", data_dir=folder) as server:
            console.print(f"[green]✓[/] Valkey listens on [cyan]{server.url}[/]")
            os.environ["ALSEK_REDIS_URL"] = server.url
            with worker(Path(folder) / "worker.log"):
                console.print("[green]✓[/] A worker is online, with threads, a process and an event loop")
                table = work()
            console.print("[green]✓[/] The worker has shut down in order")
        console.print("[green]✓[/] Valkey has stopped")
    console.print(table)
    console.print(f"All of it in {time.perf_counter() - started:.1f} s. Next: the tour in README.md.")
    return 0


@contextlib.contextmanager
def worker(log: Path) -> Iterator[None]:
    """A worker for the demo's tasks, as anybody would start it."""
    alsek = Path(sys.executable).with_name("alsek")
    with log.open("w") as output:
        process = subprocess.Popen(
            [alsek, "worker", "demo_tasks", "--n-processes", "1"], cwd=HERE, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 30
        while "Worker pool online." not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The worker did not start:\n{log.read_text()}")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    if code:
        sys.exit(f"The worker ended with code {code}:\n{log.read_text()}")


def work() -> Table:
    """Enqueue something of everything, and wait for the results."""
    # Not at the top: a task module connects to what ALSEK_REDIS_URL says when it is imported.
    from demo_tasks import add, count_primes, fetch, longest, results, shout, split, statuses, unsteady

    from alsek.tools import ResultPool

    started = time.perf_counter()
    ordinary = add.generate(args=(1, 1))
    failing = unsteady.generate()
    chain = split.generate(
        args=("a task may have callbacks",), callback=(longest.defer().generate(), shout.defer().generate())
    )
    computing = count_primes.generate(args=(50_000,))
    batch = fetch.generate_many({"args": (page,)} for page in range(PAGES))
    console.print(f"[green]✓[/] {len(batch) + 4} messages are enqueued")

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("a batch", total=PAGES)
        total = 0
        for _, page in ResultPool(results).istream(*batch):
            total += page
            progress.advance(bar)
    took = time.perf_counter() - started

    table = Table("task", "what it shows", "status", "result", title="\nWhat came of it", title_justify="left")

    def row(task: str, what: str, message: Message, result: object) -> None:
        status = statuses.get(message).status
        colour = "green" if status is TaskStatus.SUCCEEDED else "red"
        table.add_row(task, what, f"[{colour}]{status.name}[/]", str(result))

    row("add", "an ordinary task", ordinary, results.get(ordinary, timeout=10_000))
    row("unsteady", "is retried twice", failing, results.get(failing, timeout=10_000))
    _, _, last = results.get(chain, timeout=10_000, descendants=True)
    row("split, longest, shout", "callbacks", chain, last)
    row("count_primes", "computes in a process", computing, f"{results.get(computing, timeout=10_000):,}")
    row(f"{PAGES} times fetch", "waits 20 s in all", batch[-1], f"sum {total:,} in {took:.1f} s")
    return table


if __name__ == "__main__":
    sys.exit(main())
