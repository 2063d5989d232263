"""The tables of accounts: organisations, users, and what is kept for their requests."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, LargeBinary, Table

from console.store.columns import CleanText, big_column, metadata, text_column

organizations = Table(
    "organizations",
    metadata,
    text_column("id", primary_key=True),
    text_column("name"),
    Column("topic_prefix", CleanText),
    Column("profile_prefix", CleanText, unique=True),
    big_column("created_at"),
)
users = Table(
    "users",
    metadata,
    text_column("id", primary_key=True),
    text_column("email", unique=True),
    text_column("password_hash"),
    text_column("role"),
    Column("organization_id", CleanText),
    Column("disabled", Boolean, nullable=False),
    big_column("created_at"),
)
tickets = Table(
    "tickets",
    metadata,
    text_column("ticket_hash", primary_key=True),
    Column("caller", JSON, nullable=False),
    big_column("expires_at"),
)
ended_sessions = Table(
    "ended_sessions",
    metadata,
    text_column("token_hash", primary_key=True),
    big_column("expires_at"),
)
"""Sessions that were ended before their tokens expire, until these do."""

idempotency = Table(
    "idempotency",
    metadata,
    text_column("subject", primary_key=True),
    text_column("key", primary_key=True),
    text_column("request_hash"),
    Column("status", Integer),
    Column("headers", JSON),
    Column("answer", LargeBinary),
    big_column("expires_at"),
)
audit_log = Table(
    "audit_log",
    metadata,
    text_column("id", primary_key=True),
    big_column("at"),
    text_column("subject"),
    text_column("action"),
    text_column("object"),
    text_column("request_id"),
    text_column("outcome"),
)
keys = Table(
    "keys",
    metadata,
    text_column("name", primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
model_metrics = Table(
    "model_metrics",
    metadata,
    text_column("id", primary_key=True),
    text_column("organization_id"),
    text_column("model_id"),
    text_column("run_id"),
    Column("accuracy", Float),
    Column("precision", Float),
    Column("recall", Float),
    Column("f1_score", Float),
    Column("more", JSON, nullable=False),
    text_column("by"),
    big_column("at"),
    Index("model_metrics_by_time", "at", "id"),
)
"""Figures of a model, 0 to 1; null where one does not apply, and further ones in ``more``."""
