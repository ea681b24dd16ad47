#!/usr/bin/env python3
"""Measure Alsek beside its peers, on this machine, in one run.

Every environment (this one too) is made on demand under .bench/envs and kept.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from harness.environments import PreparationError, ensure_bench  # noqa: E402
from harness.paths import RESULTS  # noqa: E402

EXAMPLES = """
examples:
  python benchmarks/run.py --list
  python benchmarks/run.py --quick                      does everything work?
  python benchmarks/run.py --scenario drain --peers alsek,dramatiq,bullmq
  python benchmarks/run.py --scenario drain,io --peers alsek:async --repeats 5
  python benchmarks/run.py                              everything; takes hours, on a quiet machine
  python benchmarks/run.py --targets                    compare the saved results with the project's targets
"""


def parser() -> argparse.ArgumentParser:
    """Give the command line."""
    line = argparse.ArgumentParser(
        prog="run.py", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    line.add_argument("--scenario", type=_names, default=[], metavar="A,B", help="questions to ask; default: all")
    line.add_argument("--peers", type=_names, default=[], metavar="A,B:v", help="peers or peer:variant; default: all")
    line.add_argument("--repeats", type=_count, default=None, metavar="R", help="interleaved repeats (default 3)")
    line.add_argument("--n", type=_count, default=None, metavar="N", help="messages per measurement (default 20000)")
    line.add_argument("--window", type=float, default=None, metavar="S", help="idle window in seconds (default 60)")
    line.add_argument("--cap", type=float, default=None, metavar="S", help="longest wait for a recovery (default 120)")
    line.add_argument("--quick", action="store_true", help="small sizes, one repeat, no meaning in the figures")
    line.add_argument("--results", type=Path, default=None, metavar="DIR", help="where to save (benchmarks/results)")
    line.add_argument("--server", default=None, metavar="PATH", help="another redis-server or valkey-server")
    line.add_argument("--list", action="store_true", help="show scenarios and peers, and stop")
    line.add_argument("--targets", action="store_true", help="only compare the saved results with the targets")
    return line


def main() -> int:
    """Run in the bench environment, whatever Python this was started with."""
    arguments = parser().parse_args()
    try:
        python = ensure_bench()
    except PreparationError as error:
        print(error, file=sys.stderr)
        return 1
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execv(python, [str(python), str(HERE / "run.py"), *sys.argv[1:]])
    return _main(arguments)


def _main(arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    import scenarios
    from harness import runner, targets
    from harness.contender import contenders
    from harness.scenario import Settings
    from harness.server import BINARY

    everyone = contenders()
    if arguments.list:
        _list(everyone, scenarios.ALL)
        return 0
    # Quick figures must not take the place of real ones.
    folder = arguments.results or (RESULTS / "quick" if arguments.quick else RESULTS)
    if arguments.targets:
        print(targets.table(targets.targets(folder, everyone)))
        return 0
    chosen = [each for each in scenarios.ALL if not arguments.scenario or each.name in arguments.scenario]
    asked = [each for each in everyone if not arguments.peers or {each.peer, each.name} & set(arguments.peers)]
    known = {each.name for each in scenarios.ALL} | {word for each in everyone for word in (each.peer, each.name)}
    if unknown := [word for word in arguments.scenario + arguments.peers if word not in known]:
        print(f"unknown: {', '.join(unknown)}; see --list", file=sys.stderr)
        return 2
    settings = (Settings.quick() if arguments.quick else Settings()).of_size(arguments.n)
    settings = replace(settings, window_s=arguments.window or settings.window_s, cap_s=arguments.cap or settings.cap_s)
    if arguments.server:
        os.environ[BINARY] = arguments.server
    # Servers and workers end with their `with` blocks, also when this is told to stop.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    repeats = arguments.repeats or (1 if arguments.quick else 3)
    try:
        whole = runner.run(chosen, asked, settings, repeats, folder)
    except KeyboardInterrupt:
        print(f"\nstopped; finished rounds are in {os.path.relpath(folder)}", file=sys.stderr)
        return 130
    compared = targets.table(targets.targets(folder, everyone))
    (folder / "targets.md").write_text(compared + "\n")
    print(
        f"\nTables, plots and raw figures are in {os.path.relpath(folder)}; targets.md compares them with the targets."
    )
    return 0 if whole else 1


def _list(everyone: list, questions: tuple) -> None:  # type: ignore[type-arg]
    print("scenarios:")
    for question in questions:
        print(f"  {question.name:18} {question.question.strip()}")
    print("\npeers:")
    for each in everyone:
        takes = [question.name for question in questions if question.takes(each)]
        part = "all but the invited ones" if not each.only else ", ".join(takes)
        print(f"  {each.name:18} {part}{'; ' + each.note if each.note else ''}")


def _names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
