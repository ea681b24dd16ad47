"""`make demo`: a server, a worker and some real work, all on this machine and gone without a trace afterwards."""

from __future__ import annotations

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
    from demo_tasks import add, call_unsteady_service, count_primes, fetch, longest, results, shout, split, statuses

    from alsek.tools import ResultPool

    started = time.perf_counter()
    sum_of_two = add.generate(args=(1, 1))
    unsteady = call_unsteady_service.generate()
    chain = split.generate(
        args=("a task may have callbacks",), callback=(longest.defer().generate(), shout.defer().generate())
    )
    primes = count_primes.generate(args=(50_000,))
    pages = fetch.generate_many({"args": (page,)} for page in range(PAGES))
    console.print(f"[green]✓[/] {len(pages) + 4} messages are enqueued")

    table = Table("task", "runs in", "what it shows", "result", title="What came of it", title_justify="left")

    fetched = 0
    with Progress(
        TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        bar = progress.add_task("a batch", total=PAGES)
        for _, page in ResultPool(results).istream(*pages):
            fetched += page
            progress.advance(bar)
    took = time.perf_counter() - started

    def seen(message: object) -> str:
        return f"[green]{statuses.get(message).status.name}[/]"

    table.add_row("add", "a thread", "an ordinary task", str(results.get(sum_of_two, timeout=10_000)))
    table.add_row("call_unsteady_service", "a thread", "fails twice, is retried", results.get(unsteady, timeout=10_000))
    steps = results.get(chain, timeout=10_000, descendants=True)
    table.add_row("split, longest, shout", "threads", "a chain of callbacks", " → ".join(map(str, steps)))
    table.add_row("count_primes", "a process", "computing", f"{results.get(primes, timeout=10_000):,} below 50,000")
    table.add_row(f"{PAGES} × fetch", "an event loop", "20 s of waiting", f"sum {fetched:,} in {took:.1f} s")
    table.add_section()
    table.add_row("", "", "statuses at the end", f"add {seen(sum_of_two)}, unsteady {seen(unsteady)}")
    return table


if __name__ == "__main__":
    sys.exit(main())
