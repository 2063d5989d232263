"""Tables of the swim lanes; both are projections."""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Table

from console.store.columns import big_column, key_column, metadata, text_column

lane_buckets = Table(
    "lane_buckets",
    metadata,
    key_column("bucket"),
    text_column("kind", primary_key=True),
    key_column("partition"),
    text_column("profile_id", primary_key=True),
    text_column("feature", primary_key=True),
    text_column("severity", primary_key=True),
    big_column("anomalies"),
    Column("score", Float),
    Index("lane_buckets_by_profile", "profile_id", "kind"),
    # Read by time: rows lie in the order of the key.
    sqlite_with_rowid=False,
)
lane_pages = Table(
    "lane_pages",
    metadata,
    key_column("page"),
    big_column("changes"),
)
"""How often the buckets of a quarter of an hour changed: who holds them in memory then reads them
again."""
