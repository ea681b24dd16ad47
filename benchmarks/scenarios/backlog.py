"""Do many waiting messages slow submit or drain?"""

from harness.contender import Contender
from harness.scenario import Column, Measurement, Scenario, Settings, sized
from harness.session import MeasurementError, Session

#: Only those that bear large sizes are asked beyond this.
FOR_ALL = 100_000
#: The worker is watched over this many tasks, the fast ones longer; and over no longer than this.
WATCHED, WATCHED_LARGE = 20_000, 100_000
WATCHED_S = 20.0


def measure(contender: Contender, settings: Settings) -> Measurement:
    """Fill, submit one by one on top, then start a worker and stop it midway."""
    found: Measurement = {}
    sizes = settings.backlogs if contender.large else [n for n in settings.backlogs if n <= FOR_ALL]
    for size in sizes:
        part = _at(contender, size, settings)
        found |= {f"{key}_{size}": value for key, value in part.items()}
        if size == 0:
            continue
        base = settings.backlogs[0]
        for what in ("submit", "drain"):
            now, then = found[f"{what}_{size}"], found[f"{what}_{base}"]
            found[f"{what}_slowdown_{size}"] = then / now if now else None
    return found


def _at(contender: Contender, size: int, settings: Settings) -> Measurement:
    on_top = sized(contender, max(settings.n // 4, 200))
    watched = min(WATCHED_LARGE, settings.large) if contender.large else min(WATCHED, settings.n)
    watched = sized(contender, watched)
    with Session(contender, records=size + 4 * watched + 10_000) as session:
        empty = session.server.read()
        if size:
            session.ask("enqueue_bulk", size, "mark", 0)
        full = session.server.read().since(empty)
        answer = session.ask("enqueue_single", on_top, "mark", size)
        if size + on_top < watched:
            session.ask("enqueue_bulk", watched - size - on_top, "mark", size + on_top)
        session.work()
        tally = session.tally
        tally.wait(lambda: tally.records() >= 1, settings.stall_s)
        tally.wait(lambda: tally.records() >= watched, settings.stall_s, cap_s=WATCHED_S)
        for worker in session.workers:
            worker.kill()
        rows = tally.rows()[:watched]
        if len(rows) < 2:
            raise MeasurementError(f"no task started with {size:,} waiting:\n{session.complaint()}")
    return {
        "submit": answer["calls"] / answer["seconds"],
        "drain": (len(rows) - 1) / ((rows[-1, 1] - rows[0, 1]) / 1e9),
        "mb": full.memory / 2**20,
    }


def _columns(sizes: tuple[int, ...]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for size in sizes:
        columns += [Column(f"submit_{size}", f"submit/s @{size:,}"), Column(f"drain_{size}", f"drain/s @{size:,}")]
        if size:
            columns += [
                Column(f"submit_slowdown_{size}", f"submit slower by @{size:,}", 2),
                Column(f"drain_slowdown_{size}", f"drain slower by @{size:,}", 2),
                Column(f"mb_{size}", f"MB @{size:,}"),
            ]
    return tuple(columns)


SCENARIO = Scenario(
    name="backlog",
    question=__doc__ or "",
    columns=_columns(tuple(dict.fromkeys(Settings().backlogs + Settings.quick().backlogs))),
    measure=measure,
    plot="drain_0",
)
