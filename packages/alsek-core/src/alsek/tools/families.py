"""A metric as it is described once: the reference shows it, and collectors fill it."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from prometheus_client import Metric


class Described(NamedTuple):
    """A metric: its name, its kind, its labels, and what it tells."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    def of(self, values: Mapping[tuple[str, ...], float]) -> Metric:
        """Make the samples of a counter or a gauge.

        Args:
            values: By the values of the labels.
        """
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        family: CounterMetricFamily | GaugeMetricFamily
        if self.kind == "counter":
            family = CounterMetricFamily(self.name, self.meaning, labels=self.labels)
        else:
            family = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in values.items():
            family.add_metric(labels, value)
        return family

    def histogram(self, bounds: Sequence[float], values: Mapping[tuple[str, ...], Sequence[int]]) -> Metric:
        """Make the samples of a histogram.

        Args:
            bounds: Upper bounds of the buckets, without infinity.
            values: By the values of the labels: the sum in millionths, then the count of each bucket alone.
        """
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(self.name, self.meaning, labels=self.labels)
        edges = [*map(str, bounds), "+Inf"]
        for labels, numbers in values.items():
            buckets = list(zip(edges, accumulate(map(float, numbers[1:])), strict=True))
            family.add_metric(labels, buckets, numbers[0] / 1e6)
        return family
