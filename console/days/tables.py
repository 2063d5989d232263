"""The tables of days: what monitoring and bias analyses read, by day of ``observed_at`` in UTC.

``day`` is the epoch milliseconds at which a day begins.
"""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Index, Table

from console.store.columns import big_column, key_column, metadata, text_column

P_BINS = 20
"""Of p-values: bin i holds p from i/20 on, the last one 1 as well."""

EDGES = 11
"""Least, nine deciles and most of the samples that a feature is held against."""

BINS = EDGES + 1
"""Below the least, ten between the edges (each with its upper edge), above the most."""

profile_days = Table(
    "profile_days",
    metadata,
    key_column("day"),
    text_column("kind", primary_key=True),
    key_column("partition"),
    text_column("profile_id", primary_key=True),
    big_column("learning"),
    big_column("scored"),
    big_column("abstained"),
    big_column("suppressed"),
    big_column("low"),
    big_column("medium"),
    big_column("high"),
    big_column("critical"),
    big_column("rule_alarms"),
    Column("p_values", JSON, nullable=False),
    Index("profile_days_by_profile", "kind", "profile_id", "day"),
)
"""Verdicts of a profile and day. ``suppressed`` are the scored ones that were; severities and
``p_values`` are of scored ones that were not, so ``scored - suppressed`` is what they are shares
of. ``rule_alarms``: verdicts of any status whose ``rule_severity`` is an alarm."""

feature_days = Table(
    "feature_days",
    metadata,
    key_column("day"),
    text_column("kind", primary_key=True),
    key_column("partition"),
    text_column("profile_id", primary_key=True),
    text_column("feature", primary_key=True),
    big_column("n"),
    big_column("missing"),
    Column("mean", Float),
    Column("m2", Float),
    Column("least", Float),
    Column("most", Float),
    Column("bins", JSON, nullable=False),
    Index("feature_days_by_profile", "kind", "profile_id", "day"),
)
"""Accepted samples of a feature and day. ``n`` values were there, ``missing`` were not; ``m2`` is
the sum of squared deviations from ``mean``. ``bins``: ``BINS`` counts on ``feature_edges``; their
sum is less than ``n`` by the values that came before there were edges."""

feature_edges = Table(
    "feature_edges",
    metadata,
    text_column("kind", primary_key=True),
    key_column("partition"),
    text_column("profile_id", primary_key=True),
    text_column("feature", primary_key=True),
    Column("edges", JSON, nullable=False),
    text_column("source"),
    big_column("at"),
)
"""What ``bins`` are counted on: ``EDGES`` numbers, from ``source`` ``artefact`` (the training
samples of version 1) or ``samples`` (the first accepted ones)."""
