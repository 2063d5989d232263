"""Every metric, declared once; counted after the commit."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version

import confluent_kafka
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as PrometheusCounter

from processor.step import Count

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "records": ("Telemetry or accepted records answered.", ("kind", "outcome")),
    "dead_letters": ("Records sent to the dead-letter topic.", ("reason",)),
    "trainings": ("Trainings and what became of them.", ("kind", "trigger", "outcome")),
    "transactions": ("Transactions by how they ended.", ("outcome",)),
    "verdicts": ("Verdicts written.", ("kind", "status", "severity")),
    "unknown_features": ("Features ignored, as their profile does not have them.", ("kind",)),
    "models_lost": ("Announced models whose artefact could not be opened.", ("kind",)),
    "commands": ("Commands of operators by what became of them.", ("command", "outcome")),
}


class Metrics:
    """The metrics of one process; every sample carries its role."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.counters = {
            name: PrometheusCounter(f"telltale_{name}", text, ("role", *labels), registry=registry)
            for name, (text, labels) in COUNTERS.items()
        }
        self.batch_seconds = Histogram(
            "telltale_batch_seconds",
            "From the end of a poll to the end of its commit.",
            ("role",),
            buckets=SECONDS,
            registry=registry,
        )
        self.end_to_end_seconds = Histogram(
            "telltale_end_to_end_seconds",
            "From a telemetry record's timestamp to the commit of its verdict.",
            ("role",),
            buckets=SECONDS,
            registry=registry,
        )
        self.consumer_lag = Gauge(
            "telltale_consumer_lag",
            "Records not yet answered; 0 at the end of the partition.",
            ("role", "topic", "partition"),
            registry=registry,
        )
        self.profiles = Gauge(
            "telltale_profiles", "Profiles held.", ("role", "kind", "state"), registry=registry
        )
        self.refused_profiles = Gauge(
            "telltale_refused_profiles",
            "Profiles whose last three candidates, or more, the gate refused.",
            ("role", "kind"),
            registry=registry,
        )
        self.model_memory_bytes = Gauge(
            "telltale_model_memory_bytes", "Models in memory.", ("role",), registry=registry
        )
        self.model_memory_limit_bytes = Gauge(
            "telltale_model_memory_limit_bytes",
            "What models may take: TELLTALE_MODEL_MEMORY.",
            ("role",),
            registry=registry,
        )
        self.restore_seconds = Gauge(
            "telltale_restore_seconds",
            "How long the last restore took.",
            ("role",),
            registry=registry,
        )
        self.restore_remaining = Gauge(
            "telltale_restore_remaining",
            "Offsets of the changelogs that a restore under way has yet to pass.",
            ("role",),
            registry=registry,
        )
        self.ready = Gauge(
            "telltale_ready",
            "1 while the role has its partitions restored and the broker answers.",
            ("role",),
            registry=registry,
        )
        self._build_info = Gauge(
            "telltale_build_info",
            "Always 1; the labels say what runs.",
            ("role", "version", "python", "librdkafka"),
            registry=registry,
        )

    def start(self, role: str, model_memory: int) -> None:
        """Set what stays as it is for the life of a role."""
        librdkafka = confluent_kafka.libversion()[0]
        self._build_info.labels(
            role, version("telltale"), platform.python_version(), librdkafka
        ).set(1)
        self.model_memory_limit_bytes.labels(role).set(model_memory)

    def count(self, role: str, counts: Counter[Count]) -> None:
        """Let the counters grow by what a committed Step says."""
        for (name, labels), by in counts.items():
            self.counters[name].labels(role, *labels).inc(by)

    def observe_latencies(self, role: str, timestamps: Iterable[int], now_ms: int) -> None:
        """Count the time from each record's timestamp to now; records of one time go together."""
        histogram = self.end_to_end_seconds.labels(role)
        for timestamp, times in Counter(timestamps).items():
            seconds = max(0.0, (now_ms - timestamp) / 1000.0)
            for _ in range(times):
                histogram.observe(seconds)
