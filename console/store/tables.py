"""The tables. Projections can be read again from Kafka; all others exist only here.

Times are epoch milliseconds in columns that end in ``_at`` or are named ``at``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _big(name: str, **options: Any) -> Column[int]:
    return Column(name, BigInteger, nullable=False, **options)


def _key(name: str) -> Column[int]:
    # Nobody but Kafka numbers these.
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


projections = Table(
    "projections",
    metadata,
    _text("topic", primary_key=True),
    _key("partition"),
    _big("next_offset"),
    _big("updated_at"),
)
profiles = Table(
    "profiles",
    metadata,
    _text("kind", primary_key=True),
    _key("partition"),
    _text("profile_id", primary_key=True),
    _text("state"),
    Column("generation", BigInteger),
    _big("samples_seen"),
    _big("samples_needed"),
    Column("version", BigInteger),
    Column("detector", Text),
    Column("last_verdict_at", BigInteger),
    Column("last_anomaly_at", BigInteger),
    Column("suppressed", Boolean, nullable=False),
    Column("suppressed_until", BigInteger),
    Column("suppressed_reason", Text),
    Column("drifting_since", BigInteger),
    _big("first_seen_at"),
    _big("updated_at"),
)
model_versions = Table(
    "model_versions",
    metadata,
    _text("kind", primary_key=True),
    _key("partition"),
    _text("profile_id", primary_key=True),
    _key("generation"),
    _key("version"),
    _text("detector"),
    _text("artifact"),
    _text("sha256"),
    Column("data_path", Text),
    Column("features", JSON, nullable=False),
    _big("trained_on"),
    _big("learned"),
    _big("pool_count"),
    Column("alert_budget", Float, nullable=False),
    Column("decision_offset", Float),
    _text("trigger"),
    Column("provenance", JSON),
    Column("figures", JSON),
    Column("source_offset", BigInteger),
    _big("trained_at"),
    Column("in_force", Boolean, nullable=False),
    _big("created_at"),
    _big("updated_at"),
)
verdicts = Table(
    "verdicts",
    metadata,
    _text("verdict_id", primary_key=True),
    _text("kind"),
    _big("partition"),
    _text("profile_id"),
    _text("status"),
    Column("anomaly", Boolean, nullable=False),
    _text("severity"),
    Column("suppressed", Boolean, nullable=False),
    _big("observed_at"),
    _big("scored_at"),
    Column("weight", Float, nullable=False),
    Column("body", JSON, nullable=False),
    Index("verdicts_by_time", "scored_at", "verdict_id"),
    Index("verdicts_by_profile", "kind", "profile_id", "scored_at"),
)
awaited = Table(
    "awaited",
    metadata,
    _text("verdict_id", primary_key=True),
    _text("kind"),
    _text("profile_id"),
    _big("expires_at"),
)
verdict_hours = Table(
    "verdict_hours",
    metadata,
    _key("hour"),
    _text("organization_id", primary_key=True),
    _text("kind", primary_key=True),
    _text("status", primary_key=True),
    _text("severity", primary_key=True),
    _text("rule_severity", primary_key=True),
    Column("suppressed", Boolean, primary_key=True),
    _big("records"),
)
event_hours = Table(
    "event_hours",
    metadata,
    _key("hour"),
    _text("organization_id", primary_key=True),
    _text("kind", primary_key=True),
    _text("event", primary_key=True),
    _big("records"),
)
lifecycle_events = Table(
    "lifecycle_events",
    metadata,
    _key("partition"),
    _key("offset"),
    _text("event"),
    Column("kind", Text),
    _text("profile_id"),
    Column("generation", BigInteger),
    Column("version", BigInteger),
    Column("command_id", Text),
    Column("role", Text),
    Column("detail", Text),
    Column("figures", JSON),
    _big("at"),
    Index("lifecycle_by_profile", "profile_id", "at"),
    Index("lifecycle_by_command", "command_id"),
)
dead_letters = Table(
    "dead_letters",
    metadata,
    _key("partition"),
    _key("offset"),
    _text("reason"),
    _text("detail"),
    _text("source"),
    _big("at"),
    Index("dead_letters_by_source", "source"),
)
forgotten = Table(
    "forgotten",
    metadata,
    _text("profile_hash", primary_key=True),
    _big("at"),
)
keys = Table(
    "keys",
    metadata,
    _text("name", primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
organizations = Table(
    "organizations",
    metadata,
    _text("id", primary_key=True),
    _text("name"),
    _text("profile_prefix", unique=True),
    _big("created_at"),
)
users = Table(
    "users",
    metadata,
    _text("id", primary_key=True),
    _text("email", unique=True),
    _text("password_hash"),
    _text("role"),
    Column("organization_id", Text),
    Column("disabled", Boolean, nullable=False),
    _big("created_at"),
)
commands = Table(
    "commands",
    metadata,
    _text("command_id", primary_key=True),
    _text("command"),
    _text("kind"),
    _text("profile_id"),
    _text("by"),
    _big("issued_at"),
)
idempotency = Table(
    "idempotency",
    metadata,
    _text("subject", primary_key=True),
    _text("key", primary_key=True),
    _text("request_hash"),
    Column("status", Integer),
    Column("headers", JSON),
    Column("answer", LargeBinary),
    _big("expires_at"),
)
audit_log = Table(
    "audit_log",
    metadata,
    _text("id", primary_key=True),
    _big("at"),
    _text("subject"),
    _text("action"),
    _text("object"),
    _text("request_id"),
    _text("outcome"),
)
