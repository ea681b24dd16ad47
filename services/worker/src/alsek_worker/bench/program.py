"""What the workers of `alsek bench` import; the plan of the run stands in their environment."""

from __future__ import annotations

from alsek_worker.bench.plan import Plan, Tasks

_tasks = Tasks(Plan.of_environment())

mark = _tasks.mark
echo = _tasks.echo
