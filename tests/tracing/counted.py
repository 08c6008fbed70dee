"""What an application's meter provider has counted in this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, Metric


@dataclass(frozen=True, slots=True)
class Counted:
    """The instruments as they are collected, by name."""

    reader: InMemoryMetricReader

    def metrics(self) -> dict[str, Metric]:
        """Collect now."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> list[Any]:
        """Give an instrument's points."""
        metric = self.metrics().get(name)
        return [] if metric is None else list(metric.data.data_points)

    def values(self, name: str, *labels: str) -> dict[Any, float]:
        """Give counts of a histogram, values of others, summed by these labels; one label stands alone."""
        found: dict[Any, float] = {}
        for point in self.points(name):
            key = tuple((point.attributes or {}).get(label, "") for label in labels)
            value = point.count if isinstance(point, HistogramDataPoint) else point.value
            place = key[0] if len(key) == 1 else key
            found[place] = found.get(place, 0) + value
        return found

    def sums(self, name: str, *labels: str) -> dict[Any, float]:
        """Give the sums of a histogram by these labels."""
        found: dict[Any, float] = {}
        for point in self.points(name):
            key = tuple((point.attributes or {}).get(label, "") for label in labels)
            place = key[0] if len(key) == 1 else key
            found[place] = found.get(place, 0) + point.sum
        return found

    def labels(self, name: str) -> list[Mapping[str, Any]]:
        """Give the attributes of an instrument's points."""
        return [dict(point.attributes or {}) for point in self.points(name)]
