"""`alsek scheduler` on a host whose clock is wrong by so many seconds."""

from __future__ import annotations

import sys
import time

SHIFT_S = int(sys.argv[1])

_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + SHIFT_S
time.time_ns = lambda: _time_ns() + SHIFT_S * 1_000_000_000

if __name__ == "__main__":
    from alsek.cli.cli import main

    main(["scheduler", *sys.argv[2:]])
