"""Where the benchmarks keep things. Standard library only: read before any environment exists."""

from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent.parent
REPOSITORY = BENCHMARKS.parent
PEERS = BENCHMARKS / "peers"
KIT = BENCHMARKS / "kit"
RESULTS = BENCHMARKS / "results"
#: Everything made on demand; ignores itself in git.
SCRATCH = REPOSITORY / ".bench"
ENVIRONMENTS = SCRATCH / "envs"
