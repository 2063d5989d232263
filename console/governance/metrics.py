"""Metrics of reports and monitors, asked of the store when they are scraped; never an id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.exc import DBAPIError

from console.governance.monitors import open_alerts
from console.governance.reports import counts
from console.services import Services

MONITOR_ALERTS = "telltale_console_monitor_alerts"
TYPES = ("drift", "performance", "bias", "data_quality")


class Reported:
    """Collects how many reports there are, and how many alerts of monitors are open."""

    def __init__(self, root: Services, registry: CollectorRegistry) -> None:
        self._root = root
        registry.register(self)

    def describe(self) -> list[GaugeMetricFamily]:
        """The families, without a query: the store may not answer yet."""
        return [_alerts(), _reports()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Both families; none where the store does not answer."""
        alerts: Counter[str] = Counter(dict.fromkeys(TYPES, 0))
        made: Counter[tuple[str, str]] = Counter()
        try:
            for console in self._root.every():
                alerts.update(open_alerts(console))
                made.update(counts(console))
        except DBAPIError:
            return
        family = _alerts()
        for name, number in sorted(alerts.items()):
            family.add_metric([name], number)
        yield family
        family = _reports()
        for labels, number in sorted(made.items()):
            family.add_metric(list(labels), number)
        yield family


def _alerts() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        MONITOR_ALERTS,
        "Alerts of standing monitors that are not cleared.",
        labels=["type"],
    )


def _reports() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "telltale_console_reports", "Reports in the store.", labels=["type", "status"]
    )
