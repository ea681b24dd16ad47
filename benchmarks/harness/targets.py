"""Set what was measured against what the project asks of itself, as ratios within one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.contender import Contender

PYTHON, ANYBODY = "python", ""
#: Leases of the two crash scenarios and what the issue allows on top, in seconds.
LEASES_S = {"crash_default": 30, "crash_recommended": 5}
GRACE_S = 2


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the comparison."""

    what: str
    wanted: str
    measured: float | None
    met: bool | None


def targets(folder: Path, contenders: Sequence[Contender]) -> list[Target]:
    """Read the results in a folder and compare; lines without figures stay empty."""
    comparison = _Comparison(folder, contenders)
    for ask in (_drain, _submit, _waiting, _process_pool, _io, _idle, _redis, _look, _crash, _schedules, _http):
        ask(comparison)
    return comparison.lines


def table(lines: Sequence[Target]) -> str:
    """Give a Markdown table of targets."""
    shown = {True: "yes", False: "NO", None: "not measured"}
    body = [
        f"| {each.what} | {each.wanted} | {'-' if each.measured is None else format(each.measured, ',.4g')} "
        f"| {shown[each.met]} |"
        for each in lines
    ]
    return "\n".join(["| what | wanted | measured | met |", "| --- | ---: | ---: | --- |", *body])


class _Comparison:
    """Medians by scenario, column and contender, and the lines drawn from them."""

    def __init__(self, folder: Path, contenders: Sequence[Contender]) -> None:
        self.lines: list[Target] = []
        self._folder = folder
        self._contenders = contenders

    def ours(self, variant: str, scenario: str, key: str) -> float | None:
        return self._pick(scenario, key, {f"alsek:{variant}"}, max)

    def best(self, of: str, scenario: str, key: str, pick: Callable[..., float] = max) -> float | None:
        """Give the best figure of anybody, of the Python peers, or of one peer."""
        peers = {each.name for each in self._contenders if not each.ours and of in (ANYBODY, each.runtime, each.peer)}
        return self._pick(scenario, key, peers, pick)

    def ratio(self, what: str, ours: float | None, theirs: float | None, factor: float) -> None:
        value = ours / theirs if ours is not None and theirs else None
        self.lines.append(Target(what, f">= {factor:g} x", value, None if value is None else value >= factor))

    def at_most(self, what: str, ours: float | None, bound: float | None, unit: str) -> None:
        met = None if ours is None or bound is None else ours <= bound
        wanted = "-" if bound is None else f"<= {bound:,.4g} {unit}"
        self.lines.append(Target(what, wanted, ours, met))

    def at_least(self, what: str, ours: float | None, bound: float, unit: str) -> None:
        met = None if ours is None else ours >= bound
        self.lines.append(Target(what, f">= {bound:,.4g} {unit}", ours, met))

    def _pick(self, scenario: str, key: str, names: set[str], pick: Callable[..., float]) -> float | None:
        found = [row.median(key) for row in load(self._folder, scenario) if row.contender in names]
        values = [value for value in found if value is not None]
        return pick(values) if values else None


def _drain(compare: _Comparison) -> None:
    # The large size is borne by few; a rate does not grow with it for the others.
    python = compare.best(PYTHON, "drain", "rate")
    for scenario in ("drain", "drain_large"):
        for variant, factor in (("async", 10), ("thread", 5)):
            ours = compare.ours(variant, scenario, "rate")
            compare.ratio(f"{scenario}: {variant} pool / fastest Python peer", ours, python, factor)
        ours, bullmq = compare.ours("async", scenario, "rate"), compare.best("bullmq", scenario, "rate")
        compare.ratio(f"{scenario}: async pool / BullMQ", ours, bullmq, 2.5)
    for variant in ("async", "thread"):
        one, two = compare.ours(variant, "drain_large", "rate"), compare.ours(variant, "drain_two", "rate_both")
        compare.ratio(f"two {variant} processes / one (or Redis-bound)", two, one, 1.7)
        plain, stored = compare.ours(variant, "drain", "rate"), compare.ours(variant, "drain_results", "rate")
        compare.ratio(f"{variant} pool, results stored / without", stored, plain, 0.7)


def _submit(compare: _Comparison) -> None:
    for what, key, of, factor in (
        ("single submit / fastest peer", "single", ANYBODY, 1.5),
        ("50 in flight / BullMQ", "in_flight", "bullmq", 1),
        ("bulk submit / fastest Python peer", "bulk", PYTHON, 10),
        ("bulk submit / BullMQ", "bulk", "bullmq", 5),
    ):
        compare.ratio(what, compare.ours("async", "enqueue", key), compare.best(of, "enqueue", key), factor)


def _waiting(compare: _Comparison) -> None:
    for scenario in ("latency", "roundtrip"):
        for variant in ("async", "thread"):
            for key in ("p50", "p99"):
                best = compare.best(ANYBODY, scenario, key, min)
                compare.at_most(f"{scenario} {key}, {variant} pool", compare.ours(variant, scenario, key), best, "ms")


def _process_pool(compare: _Comparison) -> None:
    for key, what in (("rate_1", "1 child"), ("rate_2", "2 children")):
        prefork = compare.best("celery", "process_pool", key)
        ours = compare.ours("process", "process_pool", key)
        compare.ratio(f"process pool, {what} / Celery prefork", ours, prefork, 1)


def _io(compare: _Comparison) -> None:
    for variant, bound in (("async", 1.05), ("thread", 1.10)):
        compare.at_most(f"io, {variant} pool: ratio to the ideal", compare.ours(variant, "io", "ratio"), bound, "x")


def _idle(compare: _Comparison) -> None:
    for key, what, bound, unit in (
        ("commands", "Redis commands", 1, "/s"),
        ("cpu", "CPU", 0.1, "s/min"),
        ("rss", "RSS of the largest process", 45, "MB"),
    ):
        compare.at_most(f"idle thread pool: {what}", compare.ours("thread", "idle", key), bound, unit)


def _redis(compare: _Comparison) -> None:
    for size in (100_000, 500_000):
        for what in ("submit", "drain"):
            slower = compare.ours("async", "backlog", f"{what}_slowdown_{size}")
            compare.at_most(f"{what} with {size:,} waiting: slower by", slower, 1.1, "x")
    waiting, life = compare.ours("async", "redis_cost", "bytes"), compare.ours("async", "redis_cost", "life_us")
    compare.at_most("Redis memory per waiting add(1, 2)", waiting, 280, "bytes")
    compare.at_most("Redis CPU per message, whole life", life, 12, "us")


def _look(compare: _Comparison) -> None:
    slowest = compare.ours("async", "inspector", "slowest")
    compare.at_most("slowest answer of Inspector, a million messages", slowest, 20, "ms")
    for variant in ("async", "thread"):
        cost = compare.ours(variant, "observed", "cost")
        compare.at_most(f"metrics, registry and timelines, {variant} pool: of the drain rate", cost, 5, "%")


def _crash(compare: _Comparison) -> None:
    for scenario, lease in LEASES_S.items():
        for variant in ("async", "thread"):
            again = compare.ours(variant, scenario, "again_s")
            what = f"rerun after SIGKILL, {variant} pool, lease {lease} s"
            compare.at_most(what, again, lease + GRACE_S, "s")
    compare.at_most("rerun after SIGKILL of a child", compare.ours("process", "crash_child", "again_s"), GRACE_S, "s")


def _schedules(compare: _Comparison) -> None:
    for key, what, bound, unit in (
        ("lag_p99", "fire lag p99, 1,000 due in one second", 100, "ms"),
        ("standby", "a scheduler that stands by: Redis commands", 1, "/s"),
        ("killed", "no fire after SIGKILL of the leader, lease 10 s", 11, "s"),
        ("stopped", "no fire after SIGTERM of the leader", 1, "s"),
        ("commands_ratio", "Redis commands/fire, 100,000 schedules / 100", 1.1, "x"),
        ("redis_ratio", "Redis CPU/fire, 100,000 schedules / 100", 1.5, "x"),
    ):
        compare.at_most(what, compare.ours("scheduler", "schedules", key), bound, unit)


def _http(compare: _Comparison) -> None:
    ours, bare = compare.ours("http", "http_enqueue", "rate"), compare.best("bare", "http_enqueue", "rate")
    compare.ratio("HTTP: single enqueue / bare endpoint", ours, bare, 0.7)
    compare.at_least("HTTP: batch enqueue", compare.ours("http", "http_batch", "rate"), 20_000, "/s")
    compare.at_most("HTTP: events lost", compare.ours("http", "http_events", "lost"), 0, "")
    compare.at_most("HTTP: added latency of events, p99", compare.ours("http", "http_events", "p99"), 50, "ms")
    compare.at_most("HTTP: events lost, all listeners before", compare.ours("http", "http_standing", "lost"), 0, "")
    compare.at_most(
        "HTTP: added latency, all listeners before, p99", compare.ours("http", "http_standing", "p99"), 50, "ms"
    )
    compare.at_most(
        "HTTP: overview at 1,000,000 messages, p95", compare.ours("http", "http_overview", "p95"), 200, "ms"
    )
    compare.at_most("HTTP: growth of memory in ten minutes", compare.ours("http", "http_soak", "growth"), 1, "%")
