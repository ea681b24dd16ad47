"""The oracle: what the journal and the final state say about the guarantees.

G1 no loss, G2 one outcome, G3 fencing, G4 bounded duplicates and G7 poison isolation
of `guarantees.md`, over Jepsen's `total-queue`
(https://github.com/jepsen-io/jepsen, `jepsen/src/jepsen/checker.clj`).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from harness.fencing import FINAL_OPS, WRITE_OPS, double_finals, stale_writes
from harness.journal import Event

#: How an end state says that the work was done; compared in lower case.
DONE_STATES = frozenset({"done", "succeeded", "success", "completed"})


@dataclass(frozen=True, slots=True)
class TotalQueue:
    """Jepsen's `total-queue`: what was put in against what came out."""

    #: Accepted and never seen again.
    lost: Counter[str]
    #: Came out though nobody tried to put it in.
    unexpected: Counter[str]
    #: Came out more often than it was put in.
    duplicated: Counter[str]
    #: Came out though we never learned whether it went in.
    recovered: Counter[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one run did with its messages; `str()` is its one-line report."""

    submitted: int
    ended: int
    #: Accepted ids without an end state.
    lost: tuple[str, ...] = ()
    #: Ids that ended or started though no submit of them can have succeeded.
    unexpected: tuple[str, ...] = ()
    #: Ids whose submit was never answered and which ended all the same (allowed).
    recovered: tuple[str, ...] = ()
    #: Starts beyond the first and beyond one per recorded failure, over all ids.
    duplicated: int = 0
    #: How many ids started how often.
    starts: Mapping[int, int] = field(default_factory=dict)
    #: Successful writes under a token that a later claim had superseded, readable.
    stale_writes_accepted: tuple[str, ...] = ()
    #: Ids with more than one end state or more than one committed outcome.
    conflicting: tuple[str, ...] = ()
    #: Ids that count as done and never ran to their end.
    done_without_end: tuple[str, ...] = ()
    #: Poison ids that started more often than allowed, ran to an end or count as done.
    poison_leaks: tuple[str, ...] = ()
    seed: int | None = None

    def __str__(self) -> str:
        """The line every chaos run prints."""
        return (
            f"submitted={self.submitted} ended={self.ended} lost={len(self.lost)} duplicated={self.duplicated} "
            f"stale={len(self.stale_writes_accepted)} seed={self.seed}"
        )

    def assert_ok(self, max_duplicates: int | None = 0) -> None:
        """Raise unless every guarantee held.

        Args:
            max_duplicates: Allowed starts beyond the first; `None` for any number.

        Raises:
            AssertionError: Names each broken guarantee with the first ids.
        """
        broken = [f"{name}: {_first(ids)}" for name, ids in self._violations() if ids]
        if max_duplicates is not None and self.duplicated > max_duplicates:
            broken.append(f"G4 duplicated {self.duplicated} > {max_duplicates}, starts {dict(self.starts)}")
        if broken:
            raise AssertionError("\n".join([str(self), *broken]))

    def _violations(self) -> list[tuple[str, tuple[str, ...]]]:
        return [
            ("G1 lost", self.lost),
            ("G1 unexpected", self.unexpected),
            ("G1 done without END", self.done_without_end),
            ("G2 more than one outcome", self.conflicting),
            ("G3 stale writes accepted", self.stale_writes_accepted),
            ("G7 poison not isolated", self.poison_leaks),
        ]


def check(
    events: Iterable[Event],
    ended: Mapping[str, str | Collection[str]],
    *,
    seed: int | None = None,
    submit_ops: Collection[str] = ("submit",),
    write_ops: Collection[str] = WRITE_OPS,
    final_ops: Collection[str] = FINAL_OPS,
    done_states: Collection[str] = DONE_STATES,
    expect_end: bool = True,
    poison: Collection[str] = (),
    max_deliveries: int = 5,
) -> Verdict:
    """Judge a drained run and print its line.

    Args:
        events: The journal, from `read_journal`.
        ended: End state of every id that has one, read from Redis after the drain;
            several states of one id, where a reader found several, are a violation.
        seed: Printed in the report, for replay.
        submit_ops: Verbs that put a message in; their CALLs carry its id.
        write_ops: Verbs that must be refused under a superseded token (G3).
        final_ops: Verbs of which at most one claim may succeed per id (G2).
        done_states: End states that mean the work was done.
        expect_end: Whether tasks journal END, so that "done" without END is a violation.
        poison: Ids meant to kill their worker (G7).
        max_deliveries: How often a poison id may start.
    """
    events = list(events)
    states = {uuid: (state,) if isinstance(state, str) else tuple(state) for uuid, state in ended.items()}
    states = {uuid: names for uuid, names in states.items() if names}
    accepted, attempted = _submits(events, submit_ops)
    starts = Counter(event.uuid for event in events if event.kind == "START")
    fails = Counter(event.uuid for event in events if event.kind == "FAIL")
    ends = {event.uuid for event in events if event.kind == "END"}
    done = {uuid for uuid, names in states.items() if {name.lower() for name in names} & set(done_states)}
    queue = total_queue(attempted, accepted, states)
    strangers = set(queue.unexpected) | (set(starts) - attempted)
    verdict = Verdict(
        submitted=len(accepted),
        ended=len(accepted & set(states)),
        lost=tuple(sorted(queue.lost)),
        unexpected=tuple(sorted(strangers)),
        recovered=tuple(sorted(queue.recovered)),
        duplicated=sum(max(0, starts[uuid] - 1 - fails[uuid]) for uuid in starts if uuid not in poison),
        starts=dict(sorted(Counter(starts.values()).items())),
        stale_writes_accepted=stale_writes(events, write_ops),
        conflicting=tuple(
            sorted({u for u, names in states.items() if len(names) > 1} | double_finals(events, final_ops))
        ),
        done_without_end=tuple(sorted(done - ends)) if expect_end else (),
        poison_leaks=tuple(sorted(u for u in poison if starts[u] > max_deliveries or u in done or u in ends)),
        seed=seed,
    )
    print(verdict, flush=True)
    return verdict


def total_queue(attempted: Iterable[str], accepted: Iterable[str], received: Iterable[str]) -> TotalQueue:
    """Compare what was put in with what came out, as multisets.

    Args:
        attempted: Every element somebody tried to put in, whatever the answer.
        accepted: Those whose answer was success.
        received: Everything that came out.
    """
    tried, accepted_count, out = Counter(iter(attempted)), Counter(iter(accepted)), Counter(iter(received))
    unexpected = Counter({uuid: count for uuid, count in out.items() if uuid not in tried})
    return TotalQueue(
        lost=accepted_count - out,
        unexpected=unexpected,
        duplicated=out - tried - unexpected,
        recovered=(out & tried) - accepted_count,
    )


def longest_silence_s(events: Iterable[Event], *, without: Collection[str] = ()) -> float:
    """Longest time between two ENDs, leaving out the ids of `without` (G7: others go on)."""
    times = sorted(event.t for event in events if event.kind == "END" and event.uuid not in without)
    return max((later - sooner for sooner, later in pairwise(times)), default=0) / 1e9


def _submits(events: Iterable[Event], submit_ops: Collection[str]) -> tuple[set[str], set[str]]:
    calls, refused, accepted = Counter[str](), Counter[str](), set[str]()
    for event in events:
        if event.op in submit_ops:
            calls[event.uuid] += event.kind == "CALL"
            refused[event.uuid] += event.kind == "ERR"
            if event.kind == "OK":
                accepted.add(event.uuid)
    possible = {uuid for uuid, count in calls.items() if count > refused[uuid]}
    return accepted, possible | accepted


def _first(ids: tuple[str, ...], shown: int = 5) -> str:
    return f"{len(ids)} ({', '.join(ids[:shown])}{', ...' if len(ids) > shown else ''})"
