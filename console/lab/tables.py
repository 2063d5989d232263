"""The tables of data sets, registered models and messages."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Table

from console.store.columns import CleanText, big_column, metadata, text_column

datasets = Table(
    "datasets",
    metadata,
    text_column("id", primary_key=True),
    text_column("name"),
    text_column("format"),
    Column("kind", CleanText),
    Column("profile_column", CleanText),
    Column("target", CleanText),
    big_column("rows"),
    Column("columns", JSON, nullable=False),
    big_column("bytes"),
    text_column("sha256"),
    text_column("path"),
    text_column("by"),
    Column("organization_id", CleanText),
    big_column("created_at"),
    Column("expires_at", BigInteger),
    Index("datasets_by_time", "created_at", "id"),
)
registered_models = Table(
    "registered_models",
    metadata,
    text_column("id", primary_key=True),
    text_column("name"),
    text_column("family"),
    Column("kind", CleanText),
    text_column("algorithm"),
    Column("dataset_id", CleanText),
    Column("job_id", CleanText),
    text_column("path"),
    text_column("sha256"),
    Column("features", JSON, nullable=False),
    Column("figures", JSON, nullable=False),
    # Keyed hashes of the profiles that it was trained on.
    Column("trained_on", JSON, nullable=False),
    text_column("stage"),
    Column("mlflow_run_id", CleanText),
    Column("flagged_at", BigInteger),
    text_column("by"),
    Column("organization_id", CleanText),
    big_column("created_at"),
    Index("registered_models_by_time", "created_at", "id"),
)
messages = Table(
    "messages",
    metadata,
    text_column("id", primary_key=True),
    text_column("room"),
    Column("kind", CleanText),
    Column("profile_id", CleanText),
    text_column("text"),
    text_column("by"),
    Column("organization_id", CleanText),
    big_column("at"),
    Index("messages_by_room", "room", "at", "id"),
    Index("messages_by_profile", "kind", "profile_id"),
)
