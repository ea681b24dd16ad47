"""C1: the whole life of a chain of callbacks, crashed at every command; somebody else takes over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek.storage.result import ResultStore
from faults import life_scenario
from faults.ends import assert_sound, ended, states
from faults.tally import Tally
from harness.checker import check
from harness.crashpoint import CrashPoint, sweep
from harness.journal import Journal, read_journal
from harness.seeds import chaos_size
from model.redis_dump import TimeMachine

if TYPE_CHECKING:
    from pathlib import Path

    from harness.server import Server


def test_a_chain_goes_on_wherever_its_worker_dies(server: Server, seed: int, tmp_path: Path) -> None:
    broker, client = life_scenario.broker_at(server.url), server.client()
    store, links = ResultStore(broker.backend), life_scenario.chain(broker)
    tally = Tally("C1 life of a chain", seed)

    def recover(point: CrashPoint) -> None:
        for partition in range(life_scenario.PARTITIONS):
            TimeMachine(client, broker.keys.tag(partition)).advance(broker.lease_ms + 1, clock_too=False)
        assert_sound(broker)
        life_scenario.live(server.url, str(point.journal))

    def look(point: CrashPoint) -> None:
        root = Journal(point.journal)
        root.call("submit", links[0].uuid)
        root.ok("submit", links[0].uuid)
        assert_sound(broker)
        verdict = check(read_journal(point.journal), ended(broker), seed=seed)
        tally.add(verdict)
        verdict.assert_ok(max_duplicates=1 if point.k else 0)
        assert states(broker) == {link.uuid: "succeeded" for link in links}
        results = store.get(links[0], keep=True, descendants=True)
        assert len(results) == len(links)
        assert [3, [2, [1, [0, None]]]] in results

    report = sweep(
        f"{life_scenario.__name__}:live",
        server=server,
        directory=tmp_path / "runs",
        prepare=lambda: broker.submit(links[0]),
        recover=recover,
        check=look,
        variants=("kill_before", "kill_after_reply_dropped", "drop_reply_keep_client", "cut_before_keep_client"),
        sample=chaos_size(12, 10_000),
        seed=seed,
    )

    print(tally, f"commands={len(report.commands)} unreached={len(report.unreached)}", flush=True)
    client.close()
    broker.redis.close()
