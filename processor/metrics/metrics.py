"""Every metric, declared once; counted after the commit."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as PrometheusCounter

from models.features import KINDS
from processor.metrics.batch_histogram import BatchHistogram
from processor.metrics.initial_series import series
from processor.records import Count
from processor.settings import Settings

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "records": ("Telemetry or accepted records answered.", ("kind", "outcome")),
    "dead_letters": ("Records sent to the dead-letter topic.", ("reason",)),
    "trainings": ("Trainings by outcome.", ("kind", "trigger", "outcome")),
    "transactions": ("Transactions by outcome.", ("outcome",)),
    "verdicts": ("Verdicts written.", ("kind", "status", "severity")),
    "unknown_features": ("Features ignored because their profile does not have them.", ("kind",)),
    "models_lost": ("Announced models whose artefact could not be opened.", ("kind",)),
    "values": ("Values expected in the samples of valid records.", ("kind",)),
    "missing_values": ("Expected values that were absent.", ("kind",)),
    "constant_features": ("Features that never vary in the samples of a training.", ("kind",)),
    "shifts": (
        "New normals told: shifted, features_changed, and shift_ended.",
        ("kind", "event"),
    ),
    "drifts": (
        "Profiles whose normal has moved away from their model, as often as told.",
        ("kind",),
    ),
    "recalled": ("Learning profiles read back from the local file.", ("kind",)),
    "spill_failures": ("Failed writes of learning profiles to the local file.", ()),
    "forgotten": ("Profiles forgotten, by what asked for it.", ("kind", "trigger")),
    "late_records": (
        "Telemetry records older than TELLTALE_LATE_MINUTES when they were answered.",
        (),
    ),
    "ingest_records": ("Source records by outcome.", ("source", "outcome")),
    "ingest_observations": ("Telemetry records written from a source.", ("source",)),
    "commands": ("Commands of operators by outcome.", ("command", "outcome")),
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
        self.end_to_end_seconds = BatchHistogram(
            "telltale_end_to_end_seconds",
            "From a telemetry record's timestamp to the commit of its verdict; late ones aside.",
            SECONDS,
            registry,
        )
        self.consumer_lag = Gauge(
            "telltale_consumer_lag",
            "Records not yet answered; 0 at the end of the partition.",
            ("role", "topic", "partition"),
            registry=registry,
        )
        self.unreadable_partitions = Gauge(
            "telltale_unreadable_partitions",
            "Inputs that stand still at an offset which the client cannot read.",
            ("role",),
            registry=registry,
        )
        self.unread_partitions = Gauge(
            "telltale_unread_partitions",
            "Assigned input partitions not read because another topic lacks them.",
            ("role",),
            registry=registry,
        )
        self.profiles = Gauge(
            "telltale_profiles", "Profiles held.", ("role", "kind", "state"), registry=registry
        )
        self.drifting_profiles = Gauge(
            "telltale_drifting_profiles",
            "Active profiles that drift away from their model now.",
            ("role", "kind"),
            registry=registry,
        )
        self.silent_profiles = Gauge(
            "telltale_silent_profiles",
            "Active profiles without a record for longer than is usual for them.",
            ("role", "kind"),
            registry=registry,
        )
        self.spilled_profiles = Gauge(
            "telltale_spilled_profiles",
            "Learning profiles in the local file, beyond the limit of memory.",
            ("role", "kind"),
            registry=registry,
        )
        self.spill_bytes = Gauge(
            "telltale_spill_bytes",
            "Size of the local file of learning profiles.",
            ("role",),
            registry=registry,
        )
        self.spill_limit_bytes = Gauge(
            "telltale_spill_limit_bytes",
            "Limit of the local file: TELLTALE_SPILL_BYTES.",
            ("role",),
            registry=registry,
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
            "Limit of the models in memory: TELLTALE_MODEL_MEMORY.",
            ("role",),
            registry=registry,
        )
        self.shift_bytes = Gauge(
            "telltale_shift_bytes",
            "Samples of new normals in memory, within TELLTALE_MODEL_MEMORY.",
            ("role",),
            registry=registry,
        )
        self.alert_budget = Gauge(
            "telltale_alert_budget",
            "Share of a profile's normal records that may be anomalies: TELLTALE_ALERT_BUDGET.",
            ("role", "kind"),
            registry=registry,
        )
        self.cold_start_samples = Gauge(
            "telltale_cold_start_samples",
            "Samples before the first training: TELLTALE_COLD_START_SAMPLES.",
            ("role", "kind"),
            registry=registry,
        )
        self.ingest_counters = Gauge(
            "telltale_ingest_counters",
            "Profiles whose last counters are held, for their rates.",
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
            "1 while /health/ready says yes, asked at each scrape: a loop that hangs sets none.",
            ("role",),
            registry=registry,
        )
        self._build_info = Gauge(
            "telltale_build_info",
            "Always 1; the labels say what runs.",
            ("role", "version", "python", "librdkafka"),
            registry=registry,
        )

    def start(self, role: str, settings: Settings, librdkafka: str) -> None:
        """Set what stays as it is for the life of a role, and counters of known labels to 0."""
        self._build_info.labels(
            role, version("telltale"), platform.python_version(), librdkafka
        ).set(1)
        if role != "ingest":
            self.model_memory_limit_bytes.labels(role).set(settings.model_memory)
            for kind in KINDS:
                self.alert_budget.labels(role, kind).set(settings.alert_budget)
                self.cold_start_samples.labels(role, kind).set(settings.cold_start(kind))
        self.batch_seconds.labels(role)
        self.unreadable_partitions.labels(role).set(0)
        if role == "scorer":
            self.spill_limit_bytes.labels(role).set(settings.spill_bytes)
            self.end_to_end_seconds.begin(role)
        for name, labels in series(role):
            self.counters[name].labels(role, *labels)

    def count(self, role: str, counts: Counter[Count]) -> None:
        """Let the counters grow by what a committed Step says."""
        for (name, labels), by in counts.items():
            self.counters[name].labels(role, *labels).inc(by)

    def observe_latencies(
        self, role: str, timestamps: Sequence[int], now_ms: int, late_seconds: float
    ) -> None:
        """Count the time from each record's timestamp, epoch milliseconds, to now.

        Late records are counted apart: one of 1970 would be most of the histogram's sum. A
        timestamp ahead of our clock counts as now.
        """
        seconds = (now_ms - np.array(timestamps, dtype=np.float64)) / 1000.0
        late = seconds > late_seconds
        count = int(np.count_nonzero(late))
        if count:
            self.counters["late_records"].labels(role).inc(count)
            seconds = seconds[~late]
        self.end_to_end_seconds.observe(role, np.maximum(seconds, 0.0))
