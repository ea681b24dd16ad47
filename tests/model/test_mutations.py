"""P5: bugs planted in the scripts, each of which the comparison with the model has to find.

A bug that lives is a hole in the rules of the machine, not in the scripts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import seed
from hypothesis.stateful import run_state_machine_as_test

from harness.seeds import chaos_seed
from model.engine_under_test import EngineUnderTest, load_scripts
from model.machine import beside, machine_settings
from model.test_half_way import VERBS, lost_half_way, refused_by_a_full_server

if TYPE_CHECKING:
    from harness.server import Server

EXAMPLES, STEPS = 400, 50

#: What was broken → file, text, what stands there instead.
BUGS: dict[str, tuple[str, str, str]] = {
    "no fence": ("_prelude", "if h[2] ~= token then return nil, -2 end", ""),
    "no receipt of a claim": ("claim", "if ARGV[8] == '1' then", "if ARGV[8] == '?' then"),
    "an expiry on a message that waits": (
        "_prelude",
        "if ttl ~= '' then",
        "redis.call('PEXPIRE', rec, 100000) if ttl ~= '' then",
    ),
    "out of the index before the check": ("fail", "local h, code = guard", "unindex(1, id, 'l') local h, code = guard"),
    "what falls due stays delayed": ("claim", "due[i])\n        redis.call('HSET', rec, 's', 'r')", "due[i])"),
    "no grace after an outage": ("_prelude", "grace = now + lease_ms", "grace = 0"),
    "a clock that jumped back is no outage": ("_prelude", " or last - now > gap_ms", ""),
    "a release spends the delivery": ("release", "if not counts then", "if false then"),
    "a crash loop never ends": ("claim", ">= max_deliveries then", ">= max_deliveries + 9 then"),
    "a lease of no length": ("claim", "'%d', now + lease_ms", "'%d', now + 1"),
    "a renewal that only looks": ("renew", "redis.call('ZADD', qkey(qi, LEASES), unpack(batch))", ""),
    "twins at the same time": ("_prelude", "if state == 'r' or state == 'd' or state == 'l' then return id end", ""),
    "a key that is free before its window is over": ("_prelude", "if num(ends) > now then return id end", ""),
    "a failure keeps its key": ("_prelude", "if digest then free_key(digest, id, now, false) end", ""),
    "a success keeps its key for ever": ("ack", "if digest then free_key(digest, id, now, true) end", ""),
    "a removed message keeps its key": ("remove", "free_key(digest, id, clock(), false)", "clock()"),
    "a replayed message is not unique": ("replay", "not holder_of(h[6], now)", "false"),
    "a progress that nobody may read": ("progress", "'g', ARGV[i + 3]", "'g', ''"),
    "a progress that nobody hears of": ("progress", "tell(tonumber", "tostring(tonumber"),
    "anybody's progress": ("progress", "ARGV[i + 2], '')", "'', '')"),
    "an acknowledged message keeps its lease": ("ack", "redis.call('ZREM', qkey(qi, LEASES), unpack(batch))", ""),
    "an acknowledged message stays for ever": (
        "ack",
        "receipt .. claimed .. ' ', 'PX', receipt_ms",
        "receipt .. claimed .. ' '",
    ),
    "a callback is born twice": ("ack", "if redis.call('EXISTS', crec) == 0 then", "if true then"),
    "a callback in an unknown queue": ("ack", "redis.call('SADD', tag .. 'queues', qname(cqi))", ""),
    "a result that stays for ever": ("ack", ", 'PX', ARGV[result + 2])", ")"),
    "nobody hears of a result": ("ack", "redis.call('PUBLISH', tag .. 'done:' .. id, 'S')", ""),
    "more than one wake marker": ("_prelude", "if redis.call('LLEN', key) == 0 then", "if true then"),
    "a sleeping consumer is not woken": ("_prelude", "(now - EPOCH), id)\n  wake(qi)", "(now - EPOCH), id)"),
    "a full hand wakes nobody": ("claim", "or next_due[qi]) then wake(qi) end", ") then end"),
    "an expired message runs": ("claim", "<= now then\n      bury(", "<= 0 then\n      bury("),
    "the fence stands still": ("claim", "'f', fence, 'c'", "'f', 1, 'c'"),
    "a lapsed lease forgets the priority": ("claim", " * weight + (now - EPOCH), id)", " * 0 + (now - EPOCH), id)"),
    "a last status that stays for ever": ("_prelude", "if ended and num(kept_ms) >= 1 then", "if false then"),
    "a retry that is not counted": ("retry", "num(h[8]) + 1", "num(h[8])"),
    "a retry before the first claim is forgotten": ("_prelude", "redis.call('HSETNX', rec, 'f', '0')", ""),
    "a retry at once instead of later": ("retry", "tonumber(ARGV[3])), 'e'", "0), 'e'"),
    "a replay keeps the deliveries": ("replay", ", 'd', '0'", ""),
    "a worker does not hear of a revocation": ("revoke", "redis.call('PUBLISH', ARGV[7] .. worker", "tostring(worker"),
    "a revocation reads as a failure": ("_prelude", "if h[7] == 'revoked' then return nil, -3 end", ""),
    "dead letters are deleted before their time": ("renew", "'-inf', now", "'-inf', now + 60000"),
    "a receipt does not give way": ("submit", "receipt_of(rec)", "false"),
    "a pause is no pause": ("claim", "return not meta[qi + 2]", "return true"),
    "a pause keeps what lapsed": ("claim", "if now >= grace and", "if open(qi) and now >= grace and"),
    "a paused queue wakes its workers": ("claim", "if open(qi) then\n      soonest", "if true then\n      soonest"),
    "a second pause takes the place of the first": ("pause", "if before then", "if false then"),
    "a resume wakes nobody": ("resume", "then wake(1) end", "then end"),
    "a new priority leaves the place in the line": ("reprioritize", "if h[1] == 'r' then", "if false then"),
    "what should run now stays delayed": ("run_now", "unindex(1, id, 'd')", ""),
    "a purge takes what lives": ("purge", "h[1] ~= 'x' or", "h[1] == '?' or"),
    "a purge takes what died anew": ("purge", "h[2] ~= ARGV[i + 1]", "false"),
    "what succeeds is counted twice": ("ack", "tally(qi, 'k', n)", "tally(qi, 'k', 2 * n)"),
    "counts that stay for ever": ("_prelude", "redis.pcall('PEXPIRE', key, 22500000)", ""),
    "a retry leaves no trace": ("retry", "chronicle(rec, h[9], h[2], now, 'retried', ARGV[8])", ""),
    "a history without an end": ("_prelude", "if breaks >= 9 then", "if breaks >= 99 then"),
    "a claim without its time": ("claim", "'f', fence, 'c', stamp)", "'f', fence)"),
    "a submit overwrites": ("submit", "codes[#codes + 1] = 0", "fresh = true"),
    "a lone submit overwrites": ("submit_one", "then return {0} end", "then end"),
    "a receipt does not give way to a lone message": ("submit_one", "type(receipt) ~= 'string'", "true"),
    "a lone message in an unknown queue": ("submit_one", "redis.call('SADD', tag .. 'queues', ARGV[6])", ""),
    "a lone message wakes nobody": ("submit_one", "redis.call('RPUSH', wake, '1')", ""),
    "a lone message lives for ever": ("submit_one", ", 'x', now + ARGV[5])", ")"),
}


def hunt(server: Server, mutations: list[tuple[str, str, str]]) -> BaseException | None:
    """Play until something differs; give what was found."""
    scripts = load_scripts(mutations)
    engine = EngineUnderTest(server, scripts)
    machine = seed(chaos_seed())(beside(engine))
    try:
        run_state_machine_as_test(machine, settings=machine_settings(EXAMPLES, STEPS, shrink=False))
    except Exception as found:
        return found
    finally:
        engine.close()
    return None


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_found_where_nothing_is_planted(model_server: Server) -> None:
    found = hunt(model_server, [])

    assert found is None, found


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str, model_server: Server) -> None:
    found = hunt(model_server, [BUGS[bug]])

    assert found is not None


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["ack", "claim", "fail", "release", "remove", "renew", "retry", "revoke", "update"])
def test_a_verb_that_a_full_server_refuses_is_found(verb: str, model_server: Server) -> None:
    scripts = load_scripts([(verb, "#!lua flags=allow-oom", "#!lua")])

    assert verb in refused_by_a_full_server(model_server, scripts)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["ack", "fail", "release", "remove", "retry", "revoke"])
def test_a_verb_that_does_not_look_first_is_found(verb: str, model_server: Server) -> None:
    scripts = load_scripts([(verb, "check_indexes()", "")])

    assert any(lost_half_way(model_server, name, scripts) for name in VERBS if name.startswith(verb))
