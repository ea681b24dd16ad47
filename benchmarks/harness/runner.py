"""Ask every contender the same question in turn, again and again: A B C, A B C."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import report
from harness.contender import Contender
from harness.environments import PreparationError
from harness.scenario import Measurement, Scenario, Settings
from harness.server import Server
from harness.session import MeasurementError, in_short
from harness.summary import Row


def run(
    scenarios: Sequence[Scenario], contenders: Sequence[Contender], settings: Settings, repeats: int, folder: Path
) -> bool:
    """Measure, print and save; give whether everything could be measured."""
    with Server() as server:
        facts = {"server": server.version(), "repeats": repeats, "settings": str(settings)}
    ready, whole = _prepared(contenders)
    for scenario in scenarios:
        taking = [each for each in ready if scenario.takes(each)]
        if not taking:
            _say(f"\n{scenario.name}: nobody to ask")
            continue
        _say(f"\n{scenario.name}: {scenario.question.strip()}")
        rows = _ask(scenario, taking, settings, repeats, folder, facts | report.machine())
        whole = whole and not any(row.errors for row in rows)
    return whole


def _ask(
    scenario: Scenario,
    contenders: Sequence[Contender],
    settings: Settings,
    repeats: int,
    folder: Path,
    facts: dict[str, Any],
) -> list[Row]:
    rounds = 1 if scenario.once else repeats
    found: dict[str, list[Measurement]] = {each.name: [] for each in contenders}
    errors: dict[str, list[str]] = {each.name: [] for each in contenders}
    rows: list[Row] = []
    for repeat in range(rounds):
        for at, contender in enumerate(contenders, 1):
            begin = time.monotonic()
            shown = f"  repeat {repeat + 1}/{rounds}, {at}/{len(contenders)} {contender.name}"
            try:
                measurement = scenario.measure(contender, settings)
            except MeasurementError as error:
                errors[contender.name].append(str(error))
                _say(f"{shown}: FAILED: {in_short(str(error))}")
                continue
            found[contender.name].append(measurement)
            _say(f"{shown}: {_brief(scenario, measurement)}  ({time.monotonic() - begin:.1f} s)")
        # After every round, so that an interrupted run keeps what it has.
        rows = [Row(name, tuple(found[name]), tuple(errors[name])) for name in found]
        text = report.save(folder, scenario, rows, facts | {"repeats": repeat + 1})
    print(f"\n{scenario.name}: {scenario.question.strip()}\n\n{text}", flush=True)
    return rows


def _prepared(contenders: Sequence[Contender]) -> tuple[list[Contender], bool]:
    ready = []
    for contender in contenders:
        try:
            contender.prepare()
        except PreparationError as error:
            _say(f"{contender.name} is left out: {error}")
        else:
            ready.append(contender)
    return ready, len(ready) == len(contenders)


def _brief(scenario: Scenario, measurement: Measurement) -> str:
    parts = [_shown(column.title, measurement.get(column.key), column.digits) for column in scenario.columns[:4]]
    for word in ("lost", "repeated", "wrong", "missing"):
        if measurement.get(word):
            parts.append(f"{measurement[word]} {word.upper()}")
    return ", ".join(part for part in parts if part)


def _shown(title: str, value: Any, digits: int) -> str:
    if isinstance(value, int | float):
        return f"{title} {value:,.{digits}f}"
    return ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
