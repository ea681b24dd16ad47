"""Turn repeats into one row: median [min..max] for figures, sums for counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.scenario import Column, Measurement, Scenario


@dataclass(frozen=True, slots=True)
class Row:
    """All repeats of one contender in one scenario."""

    contender: str
    measurements: tuple[Measurement, ...]
    errors: tuple[str, ...]

    def numbers(self, key: str) -> list[float]:
        """Give every repeat's value of a key, without those that have none."""
        found = [each.get(key) for each in self.measurements]
        return [float(value) for value in found if isinstance(value, int | float)]

    def median(self, key: str) -> float | None:
        """Give the median over the repeats."""
        numbers = self.numbers(key)
        return median(numbers) if numbers else None

    def cell(self, column: Column) -> str:
        """Give what a table shows."""
        if column.key == "exact":
            return _exact(self.measurements)
        numbers = self.numbers(column.key)
        if not numbers:
            return "; ".join(dict.fromkeys(_words(self.measurements, column.key))) or "-"
        middle = f"{median(numbers):,.{column.digits}f}"
        if len(numbers) == 1:
            return middle
        return f"{middle} [{min(numbers):,.{column.digits}f}..{max(numbers):,.{column.digits}f}]"


def table(scenario: Scenario, rows: Sequence[Row]) -> str:
    """Give a Markdown table, best first."""
    columns = [column for column in scenario.columns if any(row.cell(column) != "-" for row in rows)]
    header = ["peer:variant", *(column.title for column in columns)]
    lines = [[row.contender, *(row.cell(column) for column in columns)] for row in ranked(scenario, rows)]
    widths = [max(len(line[i]) for line in [header, *lines]) for i in range(len(header))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(cells, widths) for cells in [header, rule, *lines])


def ranked(scenario: Scenario, rows: Iterable[Row]) -> list[Row]:
    """Order by the plotted figure; those without one come last."""

    def key(row: Row) -> tuple[bool, float]:
        value = row.median(scenario.plot)
        if value is None:
            return (True, 0.0)
        return (False, -value if scenario.more_is_better else value)

    return sorted(rows, key=key)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "| " + " | ".join([first, *rest]) + " |"


def _exact(measurements: Sequence[Measurement]) -> str:
    parts = []
    for each in measurements:
        if "n" not in each or "lost" not in each:
            continue
        n, lost, repeated = each["n"], each["lost"], each["repeated"]
        part = f"{n - lost:,}/{n:,}"
        if repeated:
            part += f" and {repeated:,} again"
        parts.append(part)
    return "; ".join(dict.fromkeys(parts)) or "-"


def _words(measurements: Sequence[Measurement], key: str) -> list[str]:
    found: list[Any] = [each.get(key) for each in measurements]
    return [value for value in found if isinstance(value, str) and value]
