"""Keep what was measured: JSON with every repeat, a Markdown table, a plot."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib

from harness.scenario import Scenario
from harness.session import in_short
from harness.summary import Row, ranked, table

matplotlib.use("svg")
from matplotlib import pyplot

OURS, OTHERS = "#c2410c", "#64748b"
ABSENT = "Upstream alsek is not in the table: it is not on the package index."


def save(folder: Path, scenario: Scenario, rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Write all three files of a scenario and give the table."""
    folder.mkdir(parents=True, exist_ok=True)
    text = table(scenario, rows)
    content = {
        "scenario": scenario.name,
        "question": scenario.question,
        "facts": facts,
        "rows": [{"contender": row.contender, "measurements": row.measurements, "errors": row.errors} for row in rows],
    }
    (folder / f"{scenario.name}.json").write_text(json.dumps(content, indent=1, default=float) + "\n")
    errors = [f"* {row.contender}: {in_short(row.errors[0])}" for row in rows if row.errors]
    parts = [f"# {scenario.name}", scenario.question, text, *(["\n".join(errors)] if errors else []), _signed(facts)]
    (folder / f"{scenario.name}.md").write_text("\n\n".join(parts) + "\n")
    _draw(folder / f"{scenario.name}.svg", scenario, rows, facts)
    return text


def load(folder: Path, name: str) -> list[Row]:
    """Read the rows of an earlier run; none if it was not run."""
    path = folder / f"{name}.json"
    if not path.exists():
        return []
    rows = json.loads(path.read_text())["rows"]
    return [Row(each["contender"], tuple(each["measurements"]), tuple(each["errors"])) for each in rows]


def machine() -> dict[str, Any]:
    """Give what a reader needs to judge the figures."""
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "load": [round(each, 2) for each in os.getloadavg()],
    }


def _signed(facts: dict[str, Any]) -> str:
    return (
        f"{facts['at']}, {facts['cores']} cores ({facts['cpu']}), Linux {facts['kernel']}, Python {facts['python']}, "
        f"{facts['server']}, {facts['repeats']} interleaved repeats, load before {facts['load'][0]}. "
        f"Median [min..max]. {ABSENT}"
    )


def _draw(path: Path, scenario: Scenario, rows: Sequence[Row], facts: dict[str, Any]) -> None:
    shown = [row for row in ranked(scenario, rows) if row.numbers(scenario.plot)]
    if not shown:
        path.unlink(missing_ok=True)
        return
    title = next(column.title for column in scenario.columns if column.key == scenario.plot)
    digits = next(column.digits for column in scenario.columns if column.key == scenario.plot)
    middles = [row.median(scenario.plot) or 0.0 for row in shown]
    spread = [
        [middle - min(row.numbers(scenario.plot)) for middle, row in zip(middles, shown, strict=True)],
        [max(row.numbers(scenario.plot)) - middle for middle, row in zip(middles, shown, strict=True)],
    ]
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.38 * len(shown)), layout="constrained")
    bars = axes.barh(
        [row.contender for row in shown], middles, xerr=spread, capsize=3,
        color=[OURS if row.contender.startswith("alsek:") else OTHERS for row in shown],
        error_kw={"ecolor": "#1e293b", "elinewidth": 1},
    )  # fmt: skip
    axes.bar_label(bars, [f"{value:,.{digits}f}" for value in middles], padding=6, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel(f"{title} ({'more' if scenario.more_is_better else 'less'} is better)")
    axes.set_title(scenario.question.strip(), fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": facts["at"]})
    pyplot.close(figure)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
