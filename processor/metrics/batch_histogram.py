"""A histogram of seconds that takes a batch at a time: Prometheus' own takes one value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

Held = tuple[NDArray[np.int64], float]
"""How many values each bucket holds, the last without a bound; and the sum of all."""


class BatchHistogram(Collector):
    """A histogram with the label ``role``; each role's loop writes its own series."""

    def __init__(
        self, name: str, text: str, buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text = name, text
        self._bounds = np.array(buckets)
        self._names = [*(str(float(bound)) for bound in buckets), "+Inf"]
        self._held: dict[str, Held] = {}
        registry.register(self)

    def begin(self, role: str) -> None:
        """Show the series of a role, at 0."""
        self._held[role] = (np.zeros(len(self._names), np.int64), 0.0)

    def observe(self, role: str, seconds: NDArray[np.float64]) -> None:
        """Count the values of a batch, shape (records,)."""
        if not seconds.size:
            return
        if role not in self._held:
            self.begin(role)
        counts, total = self._held[role]
        # A bucket holds what is at most its bound.
        found = np.bincount(np.searchsorted(self._bounds, seconds), minlength=len(self._names))
        # One assignment: a scrape sees all of a batch or nothing.
        self._held[role] = (counts + found, total + float(seconds.sum()))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=["role"])
        for role, (counts, total) in dict(self._held).items():
            upto = counts.cumsum().tolist()
            family.add_metric([role], list(zip(self._names, upto, strict=True)), total)
        yield family
