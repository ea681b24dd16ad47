"""Set what was measured against what the project asks of itself, as ratios within one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.contender import Contender
from harness.report import load
from harness.summary import Row


@dataclass(frozen=True, slots=True)
class Target:
    """One line: what is wanted, and how to read it from the rows."""

    what: str
    wanted: str
    measured: float | None
    met: bool | None


class _Figures:
    """Medians by scenario, column and contender."""

    def __init__(self, folder: Path, contenders: Sequence[Contender]) -> None:
        self._folder = folder
        self._python = {c.name for c in contenders if not c.ours and c.runtime == "python"}
        self._peers = {c.name for c in contenders if not c.ours}

    def of(self, scenario: str, key: str, contender: str) -> float | None:
        return self._pick(scenario, key, {contender}, max)

    def best(
        self, scenario: str, key: str, pick: Callable[..., float], python_only: bool = False, only: str = ""
    ) -> float | None:
        names = self._python if python_only else self._peers
        if only:
            names = {name for name in self._peers if name.startswith(only)}
        return self._pick(scenario, key, names, pick)

    def _pick(self, scenario: str, key: str, names: set[str], pick: Callable[..., float]) -> float | None:
        rows: list[Row] = load(self._folder, scenario)
        values = [row.median(key) for row in rows if row.contender in names]
        return pick((value for value in values if value is not None), default=None)  # type: ignore[no-any-return]


def targets(folder: Path, contenders: Sequence[Contender]) -> list[Target]:
    """Read the results in a folder and compare; lines without figures stay empty."""
    figures = _Figures(folder, contenders)
    found: list[Target] = []

    def ratio(what: str, ours: float | None, theirs: float | None, factor: float) -> None:
        value = ours / theirs if ours is not None and theirs else None
        found.append(Target(what, f">= {factor:g} x", value, None if value is None else value >= factor))

    def at_most(what: str, ours: float | None, bound: float | None, unit: str) -> None:
        met = None if ours is None or bound is None else ours <= bound
        wanted = "-" if bound is None else f"<= {bound:,.4g} {unit}"
        found.append(Target(what, wanted, ours, met))

    for scenario in ("drain", "drain_large"):
        for variant, factor in (("async", 10), ("thread", 5)):
            ours = figures.of(scenario, "rate", f"alsek:{variant}")
            # The large size is borne by few; a rate does not grow with it for the others.
            python = figures.best("drain", "rate", max, python_only=True)
            ratio(f"{scenario}: {variant} pool / fastest Python peer", ours, python, factor)
        ours = figures.of(scenario, "rate", "alsek:async")
        ratio(f"{scenario}: async pool / BullMQ", ours, figures.best(scenario, "rate", max, only="bullmq"), 2.5)
    for variant in ("async", "thread"):
        name = f"alsek:{variant}"
        one = figures.of("drain_large", "rate", name)
        ratio(f"two {variant} processes / one", figures.of("drain_two", "rate_both", name), one, 1.7)
        plain, stored = figures.of("drain", "rate", name), figures.of("drain_results", "rate", name)
        ratio(f"{variant}, results stored / without", stored, plain, 0.7)
    for key, what, factor, python in (
        ("single", "single submit / fastest peer", 1.5, False),
        ("bulk", "bulk submit / fastest Python peer", 10, True),
    ):
        ours = figures.of("enqueue", key, "alsek:async")
        ratio(what, ours, figures.best("enqueue", key, max, python_only=python), factor)
    for key, what, factor in (("in_flight", "50 in flight / BullMQ", 1), ("bulk", "bulk submit / BullMQ", 5)):
        ours = figures.of("enqueue", key, "alsek:async")
        ratio(what, ours, figures.best("enqueue", key, max, only="bullmq"), factor)
    for scenario in ("latency", "roundtrip"):
        for variant in ("async", "thread"):
            for key in ("p50", "p99"):
                ours = figures.of(scenario, key, f"alsek:{variant}")
                at_most(f"{scenario} {key}, {variant}: the best peer's", ours, figures.best(scenario, key, min), "ms")
    for key in ("rate_1", "rate_2"):
        ours = figures.of("process_pool", key, "alsek:process")
        prefork = figures.best("process_pool", key, max, only="celery")
        ratio(f"process pool, {key[-1]} child(ren) / celery prefork", ours, prefork, 1)
    for variant, bound in (("async", 1.05), ("thread", 1.10)):
        at_most(f"io, {variant}: ratio to the ideal", figures.of("io", "ratio", f"alsek:{variant}"), bound, "x")
    for key, bound, unit in (("commands", 1.0, "/s"), ("cpu", 0.1, "s/min"), ("rss", 45.0, "MB")):
        at_most(f"idle thread pool: {key}", figures.of("idle", key, "alsek:thread"), bound, unit)
    for size in (100_000, 500_000):
        for what in ("submit", "drain"):
            slower = figures.of("backlog", f"{what}_slowdown_{size}", "alsek:async")
            at_most(f"{what} with {size:,} waiting: slower by", slower, 1.1, "x")
    at_most("bytes per waiting add(1, 2)", figures.of("redis_cost", "bytes", "alsek:async"), 280, "bytes")
    at_most("Redis CPU per message's life", figures.of("redis_cost", "life_us", "alsek:async"), 12, "us")
    at_most("rerun after SIGKILL of a child", figures.of("crash_child", "again_s", "alsek:process"), 2, "s")
    return found


def table(lines: Sequence[Target]) -> str:
    """Give a Markdown table of targets."""
    shown = {True: "yes", False: "NO", None: "not measured"}
    body = [
        f"| {each.what} | {each.wanted} | {'-' if each.measured is None else format(each.measured, ',.4g')} "
        f"| {shown[each.met]} |"
        for each in lines
    ]
    return "\n".join(["| what | wanted | measured | met |", "| --- | ---: | ---: | --- |", *body])
