"""The tables of jobs and of what they report."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Table

from console.store.columns import CleanText, big_column, key_column, metadata, text_column

jobs = Table(
    "jobs",
    metadata,
    text_column("id", primary_key=True),
    text_column("type"),
    text_column("state"),
    Column("config", JSON, nullable=False),
    Column("progress", Float, nullable=False),
    Column("worker", CleanText),
    Column("lease_until", BigInteger),
    big_column("attempts"),
    big_column("frames"),
    Column("cancel_at", BigInteger),
    Column("result_path", CleanText),
    Column("error", CleanText),
    Column("mlflow_run_id", CleanText),
    text_column("by"),
    Column("organization_id", CleanText),
    text_column("topic_prefix"),
    text_column("profile_prefix"),
    big_column("created_at"),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Index("jobs_by_state", "state", "created_at"),
    Index("jobs_by_time", "created_at", "id"),
)
job_events = Table(
    "job_events",
    metadata,
    text_column("job_id", primary_key=True),
    key_column("seq"),
    Column("epoch", BigInteger),
    Column("loss", Float),
    Column("accuracy", Float),
    Column("val_loss", Float),
    Column("val_accuracy", Float),
    Column("more", JSON, nullable=False),
    big_column("at"),
)
