"""The tables. Projections can be read again from Kafka; all others exist only here.

Times are epoch milliseconds in columns that end in ``_at`` or are named ``at``.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Table

from console.days.tables import feature_days as feature_days
from console.days.tables import feature_edges as feature_edges
from console.days.tables import profile_days as profile_days
from console.governance.tables import monitor_alerts as monitor_alerts
from console.governance.tables import monitors as monitors
from console.governance.tables import reports as reports
from console.jobs.tables import job_events as job_events
from console.jobs.tables import jobs as jobs
from console.lab.tables import datasets as datasets
from console.lab.tables import messages as messages
from console.lab.tables import registered_models as registered_models
from console.lanes.tables import lane_buckets as lane_buckets
from console.lanes.tables import lane_pages as lane_pages
from console.store.account_tables import audit_log as audit_log
from console.store.account_tables import ended_sessions as ended_sessions
from console.store.account_tables import idempotency as idempotency
from console.store.account_tables import keys as keys
from console.store.account_tables import model_metrics as model_metrics
from console.store.account_tables import organizations as organizations
from console.store.account_tables import tickets as tickets
from console.store.account_tables import users as users
from console.store.columns import CleanText, big_column, key_column, text_column
from console.store.columns import metadata as metadata

projections = Table(
    "projections",
    metadata,
    text_column("topic", primary_key=True),
    key_column("partition"),
    big_column("next_offset"),
    big_column("updated_at"),
)
profiles = Table(
    "profiles",
    metadata,
    text_column("kind", primary_key=True),
    key_column("partition"),
    text_column("profile_id", primary_key=True),
    text_column("state"),
    Column("generation", BigInteger),
    big_column("samples_seen"),
    big_column("samples_needed"),
    Column("version", BigInteger),
    Column("detector", CleanText),
    Column("last_verdict_at", BigInteger),
    Column("last_anomaly_at", BigInteger),
    Column("suppressed", Boolean, nullable=False),
    Column("suppressed_until", BigInteger),
    Column("suppressed_reason", CleanText),
    Column("drifting_since", BigInteger),
    big_column("first_seen_at"),
    big_column("updated_at"),
)
model_versions = Table(
    "model_versions",
    metadata,
    text_column("kind", primary_key=True),
    key_column("partition"),
    text_column("profile_id", primary_key=True),
    key_column("generation"),
    key_column("version"),
    text_column("detector"),
    text_column("artifact"),
    text_column("sha256"),
    Column("data_path", CleanText),
    Column("features", JSON, nullable=False),
    big_column("trained_on"),
    big_column("learned"),
    big_column("pool_count"),
    Column("alert_budget", Float, nullable=False),
    Column("decision_offset", Float),
    text_column("trigger"),
    Column("provenance", JSON),
    Column("figures", JSON),
    Column("source_offset", BigInteger),
    big_column("trained_at"),
    Column("in_force", Boolean, nullable=False),
    big_column("created_at"),
    big_column("updated_at"),
    Index("models_in_force", "in_force", "kind", "profile_id", "partition"),
)
verdicts = Table(
    "verdicts",
    metadata,
    text_column("verdict_id", primary_key=True),
    text_column("kind"),
    big_column("partition"),
    text_column("profile_id"),
    text_column("status"),
    Column("anomaly", Boolean, nullable=False),
    text_column("severity"),
    Column("suppressed", Boolean, nullable=False),
    big_column("observed_at"),
    big_column("scored_at"),
    Column("weight", Float, nullable=False),
    Column("body", JSON, nullable=False),
    # With all that lists and counts ask for: a row is opened only if it is shown.
    Index(
        "verdicts_by_time",
        "scored_at",
        "verdict_id",
        "kind",
        "severity",
        "profile_id",
        "suppressed",
        "anomaly",
    ),
    Index("verdicts_by_profile", "kind", "profile_id", "scored_at"),
)
awaited = Table(
    "awaited",
    metadata,
    text_column("verdict_id", primary_key=True),
    text_column("kind"),
    text_column("profile_id"),
    big_column("expires_at"),
)
verdict_hours = Table(
    "verdict_hours",
    metadata,
    key_column("hour"),
    text_column("organization_id", primary_key=True),
    text_column("kind", primary_key=True),
    text_column("status", primary_key=True),
    text_column("severity", primary_key=True),
    text_column("rule_severity", primary_key=True),
    Column("suppressed", Boolean, primary_key=True),
    big_column("records"),
)
event_hours = Table(
    "event_hours",
    metadata,
    key_column("hour"),
    text_column("organization_id", primary_key=True),
    text_column("kind", primary_key=True),
    text_column("event", primary_key=True),
    big_column("records"),
)
lifecycle_events = Table(
    "lifecycle_events",
    metadata,
    key_column("partition"),
    key_column("offset"),
    text_column("event"),
    Column("kind", CleanText),
    text_column("profile_id"),
    Column("generation", BigInteger),
    Column("version", BigInteger),
    Column("command_id", CleanText),
    Column("role", CleanText),
    Column("detail", CleanText),
    Column("figures", JSON),
    big_column("at"),
    Index("lifecycle_by_profile", "profile_id", "at"),
    Index("lifecycle_by_command", "command_id"),
    Index("lifecycle_by_time", "at", "partition", "offset"),
)
dead_letters = Table(
    "dead_letters",
    metadata,
    key_column("partition"),
    key_column("offset"),
    text_column("reason"),
    text_column("detail"),
    text_column("source"),
    big_column("at"),
    big_column("replayed", server_default="0"),
    Index("dead_letters_by_source", "source"),
    Index("dead_letters_by_time", "at", "partition", "offset"),
    Index("dead_letters_by_reason", "reason", "at", "partition", "offset"),
)
labels = Table(
    "labels",
    metadata,
    text_column("verdict_id", primary_key=True),
    text_column("kind"),
    big_column("partition"),
    text_column("profile_id"),
    text_column("label"),
    text_column("source"),
    Column("weight", Float),
    Column("note", CleanText),
    text_column("by"),
    big_column("at"),
    Column("accepted", Boolean, nullable=False),
    big_column("record_offset"),
    Index("labels_by_profile", "kind", "profile_id"),
    Index("labels_by_time", "at", "verdict_id"),
)
label_history = Table(
    "label_history",
    metadata,
    text_column("verdict_id", primary_key=True),
    key_column("record_offset"),
    text_column("kind"),
    big_column("partition"),
    text_column("profile_id"),
    Column("label", CleanText),
    Column("source", CleanText),
    Column("by", CleanText),
    big_column("at"),
    Index("label_history_by_profile", "kind", "profile_id"),
)
acceptances = Table(
    "acceptances",
    metadata,
    text_column("verdict_id", primary_key=True),
    text_column("kind"),
    big_column("partition"),
    text_column("profile_id"),
    big_column("at"),
    Column("done", Boolean, nullable=False),
)
profile_attributes = Table(
    "profile_attributes",
    metadata,
    text_column("kind", primary_key=True),
    text_column("profile_id", primary_key=True),
    text_column("name", primary_key=True),
    text_column("value"),
    text_column("source"),
    big_column("updated_at"),
    big_column("record_offset"),
)
erasures = Table(
    "erasures",
    metadata,
    key_column("partition"),
    key_column("offset"),
    Column("rows", JSON, nullable=False),
    Column("verdict_ids", JSON, nullable=False),
    Column("files", JSON, nullable=False),
    big_column("at"),
    Column("told", Boolean, nullable=False),
)
forgotten = Table(
    "forgotten",
    metadata,
    text_column("profile_hash", primary_key=True),
    big_column("at"),
)
commands = Table(
    "commands",
    metadata,
    text_column("command_id", primary_key=True),
    text_column("command"),
    text_column("kind"),
    text_column("profile_id"),
    text_column("by"),
    big_column("issued_at"),
)
