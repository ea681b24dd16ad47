"""Charts that need no script: series drawn as SVG on the server, with the table that the page's script draws from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Of the drawing, in its own units; CSS stretches it.
WIDTH: Final = 600
HEIGHT: Final = 160


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one layer of bars.

    Attributes:
        label: In the legend.
        tone: Names the colour in the style sheet.
        values: One per time; `None`: unknown.
    """

    label: str
    tone: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """Something over time.

    Attributes:
        title: For people.
        unit: `count`, `ms` or `rate`; how the script writes the axis.
        kind: `bars`, stacked, or `lines`.
        times: Seconds since the epoch, ascending.
        series: In the order of the legend.
    """

    title: str
    unit: str
    kind: str
    times: Sequence[int]
    series: Sequence[Series]

    @property
    def top(self) -> float:
        """The largest value that has to fit."""
        if self.kind == "bars":
            return max((sum(value or 0 for value in at) for at in zip(*(s.values for s in self.series), strict=True)),
                       default=0) or 1  # fmt: skip
        return max((value or 0 for one in self.series for value in one.values), default=0) or 1

    def bars(self) -> list[tuple[str, float, float, float, float]]:
        """Give the rectangles of a stacked chart: tone, x, y, width, height."""
        step, top = WIDTH / max(1, len(self.times)), self.top
        found = []
        for index in range(len(self.times)):
            floor = float(HEIGHT)
            for one in self.series:
                height = (one.values[index] or 0) / top * (HEIGHT - 4)
                if height > 0:
                    floor -= height
                    found.append((one.tone, round(index * step + step * 0.12, 2), round(floor, 2),
                                  round(step * 0.76, 2), round(height, 2)))  # fmt: skip
        return found

    def lines(self) -> list[tuple[str, str]]:
        """Give the paths of a chart of lines: tone, and the path's commands; gaps stay gaps."""
        step, top = WIDTH / max(1, len(self.times) - 1), self.top
        found = []
        for one in self.series:
            path, pen_down = [], False
            for index, value in enumerate(one.values):
                if value is None:
                    pen_down = False
                    continue
                at = f"{index * step:.1f} {HEIGHT - 2 - value / top * (HEIGHT - 6):.1f}"
                path.append(f"L{at}" if pen_down else f"M{at}h0")  # `h0`: one value alone is a dot
                pen_down = True
            found.append((one.tone, " ".join(path)))
        return found
