"""What does a scheduler cost with few and with very many schedules, and how late does it fire?"""

from harness.contender import Contender
from harness.processes import Worker
from harness.scenario import Column, Measurement, Scenario, Settings, percentile
from harness.session import MeasurementError, Session

FEW = 100
#: Schedules that fire once a second each, evenly spread: every fire has a tick of its own.
BEATING, EVERY_MS = 10, 1_000
#: Bursts of the schedules that are due within one second.
BURSTS, DUE = 5, 1_000
#: Fires often, so that the time in which nobody leads is seen.
PULSE_MS = 20
#: The leader's, by default.
LEASE_S = 10
#: After a start: imports, the first election and the first ticks.
SETTLE_S = 3.0


def measure(contender: Contender, settings: Settings) -> Measurement:
    """One leader: a steady beat among few and among many, bursts, one more that stands by, and hand-overs."""
    many = settings.backlogs[1]
    with Session(contender) as session:
        (leader,) = session.work()
        session.ask("rest", 0, FEW)
        session.ask("beat", BEATING, EVERY_MS)
        _wait(session, SETTLE_S)
        few = _beat(session, leader, settings)
        session.ask("rest", FEW, many - FEW)
        _wait(session, SETTLE_S)
        found = _beat(session, leader, settings)
        session.ask("still")
        lags = [lag for number in range(BURSTS) for lag in _burst(session, number, leader)]
        alone = _idle(session, settings)
        session.work()
        _wait(session, SETTLE_S)
        both = _idle(session, settings)
        killed, stopped = _handovers(session, leader)
    return {
        "few": FEW,
        "many": many,
        **{f"{key}_few": value for key, value in few.items()},
        **{f"{key}_many": value for key, value in found.items()},
        "commands_ratio": found["commands"] / few["commands"],
        "redis_ratio": found["redis_us"] / few["redis_us"],
        "n": BURSTS * DUE,
        "lost": BURSTS * DUE - len(lags),
        "repeated": 0,
        "lag_p50": percentile(lags, 0.50),
        "lag_p99": percentile(lags, 0.99),
        "lag_max": max(lags),
        "leading": alone,
        "standby": both - alone,
        "killed": killed,
        "stopped": stopped,
    }


def _beat(session: Session, leader: Worker, settings: Settings) -> dict[str, float]:
    """Cost of one fire, by Redis and by the leader."""
    fired = session.ask("fired")["fired"]
    before, busy = session.server.read(), _cpu_s(leader)
    _wait(session, settings.window_s / 3)
    cost, busy = session.server.read().since(before), _cpu_s(leader) - busy
    fires = session.ask("fired")["fired"] - fired
    if not fires:
        raise MeasurementError(f"nothing was fired:\n{session.complaint()}")
    # The window is known; the last question may have counted one fire of each more.
    fires = min(fires, cost.at * BEATING * 1000 / EVERY_MS)
    return {"commands": cost.commands / fires, "redis_us": cost.cpu_s * 1e6 / fires, "cpu_ms": busy * 1000 / fires}


def _burst(session: Session, number: int, leader: Worker) -> list[float]:
    """Lags of the schedules that are due within one second."""
    wait_ms = session.ask("burst", number, DUE)["wait_ms"]
    _wait(session, max(0, wait_ms) / 1000 + 1)
    lags: list[float] = session.ask("lags")["ms"]
    if not lags or not leader.alive:
        raise MeasurementError(f"nothing was fired:\n{session.complaint()}")
    return lags


def _handovers(session: Session, leader: Worker) -> tuple[float, float]:
    """Longest time without a fire, seconds: the leader dies by SIGKILL; the next one is told to end by SIGTERM."""
    session.ask("pulse", PULSE_MS)
    _wait(session, SETTLE_S)
    leader.kill()
    _wait(session, LEASE_S + SETTLE_S)
    killed: float = session.ask("gap")["ms"]
    follower = session.workers[-1]
    session.work()
    _wait(session, SETTLE_S)
    follower.stop()
    _wait(session, SETTLE_S)
    stopped: float = session.ask("gap")["ms"]
    return killed / 1000, stopped / 1000


def _idle(session: Session, settings: Settings) -> float:
    """Redis commands a second with nothing due."""
    before = session.server.read()
    _wait(session, settings.window_s)
    cost = session.server.read().since(before)
    return cost.commands / cost.at


def _cpu_s(worker: Worker) -> float:
    return sum(each.cpu_s for each in worker.footprints())


def _wait(session: Session, seconds: float) -> None:
    session.tally.wait(lambda: False, stall_s=seconds)


SCENARIO = Scenario(
    name="schedules",
    question=__doc__ or "",
    columns=(
        Column("lag_p50", "fire lag p50 ms", 1),
        Column("lag_p99", "p99", 1),
        Column("lag_max", "max", 1),
        Column("standby", "standby: Redis commands/s", 2),
        Column("killed", "s without a fire, SIGKILL", 2),
        Column("stopped", "SIGTERM", 2),
        Column("leading", "idle leader: Redis commands/s", 2),
        Column("commands_few", "commands/fire, few", 1),
        Column("commands_many", "many", 1),
        Column("redis_us_few", "Redis us/fire, few"),
        Column("redis_us_many", "many"),
        Column("cpu_ms_few", "leader CPU ms/fire, few", 2),
        Column("cpu_ms_many", "many", 2),
        Column("exact", "exact"),
    ),
    measure=measure,
    plot="lag_p99",
    more_is_better=False,
    invited_only=True,
    once=True,
)
