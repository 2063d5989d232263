"""Tables of reports and standing monitors.

Times are epoch milliseconds. ``profile_prefix`` is of the ids that the one who asked may see: work
in the background sees no more.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Table

from console.store.columns import CleanText, big_column, metadata, text_column

reports = Table(
    "reports",
    metadata,
    text_column("id", primary_key=True),
    text_column("type"),
    text_column("model_id"),
    Column("dataset_id", CleanText),
    text_column("status"),
    Column("request", JSON, nullable=False),
    Column("result", JSON),
    Column("offsets", JSON),
    Column("code_version", CleanText),
    Column("seed", BigInteger),
    text_column("by"),
    Column("organization_id", CleanText),
    text_column("profile_prefix"),
    Column("kind", CleanText),
    Column("profile_id", CleanText),
    Column("error", CleanText),
    Column("lease_until", BigInteger),
    big_column("created_at"),
    Column("completed_at", BigInteger),
    Column("expires_at", BigInteger),
    Index("reports_by_model", "type", "model_id", "created_at"),
    Index("reports_by_status", "status", "created_at"),
    Index("reports_by_profile", "kind", "profile_id"),
)
"""``kind`` and ``profile_id`` are of reports about one profile, which go with it."""

monitors = Table(
    "monitors",
    metadata,
    text_column("id", primary_key=True),
    text_column("model_id"),
    text_column("type"),
    text_column("reference_period"),
    text_column("current_period"),
    Column("threshold", Float, nullable=False),
    text_column("every"),
    Column("enabled", Boolean, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("last_run", BigInteger),
    text_column("by"),
    Column("organization_id", CleanText),
    text_column("profile_prefix"),
    Column("kind", CleanText),
    Column("profile_id", CleanText),
    big_column("created_at"),
    Index("monitors_by_profile", "kind", "profile_id"),
)
monitor_alerts = Table(
    "monitor_alerts",
    metadata,
    text_column("id", primary_key=True),
    text_column("monitor_id"),
    text_column("name"),
    text_column("type"),
    Column("reference", Float),
    Column("current", Float),
    Column("score", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("report_id", CleanText),
    Column("organization_id", CleanText),
    Column("kind", CleanText),
    Column("profile_id", CleanText),
    big_column("raised_at"),
    Column("cleared_at", BigInteger),
    Index("monitor_alerts_by_monitor", "monitor_id", "raised_at"),
    Index("monitor_alerts_by_profile", "kind", "profile_id"),
)
"""``name`` is the feature or the rate."""
