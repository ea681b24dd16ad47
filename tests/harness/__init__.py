"""Real servers, injected faults and the oracle that judges what survived.

Fixtures come from `harness.fixtures` (`server`, `redis_url`, `proxy`, `journal`, `processes`, ...).
A chaos test starts workers with `processes`, lets its tasks write `Journal.from_env()`, breaks
something, drains, and ends with `check(read_journal(...), ended, seed=seed).assert_ok()`.
A crash test hands a small client to `crashpoint.sweep`.
"""
