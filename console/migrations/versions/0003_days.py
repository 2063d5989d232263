"""Counts of verdicts and sketches of features by day; metrics of models."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COUNTS = ("learning", "scored", "abstained", "suppressed", "low", "medium", "high", "critical")


def upgrade() -> None:
    op.create_table(
        "profile_days",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        sa.Column("rule_alarms", sa.BigInteger(), nullable=False),
        sa.Column("p_values", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", "partition", "profile_id"),
    )
    op.create_index("profile_days_by_profile", "profile_days", ["kind", "profile_id", "day"])
    op.create_table(
        "feature_days",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("mean", "m2", "least", "most")),
        sa.Column("bins", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("day", "kind", "partition", "profile_id", "feature"),
    )
    op.create_index("feature_days_by_profile", "feature_days", ["kind", "profile_id", "day"])
    op.create_table(
        "feature_edges",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("edges", sa.JSON(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "partition", "profile_id", "feature"),
    )
    op.create_table(
        "model_metrics",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.Float(), nullable=True)
            for name in ("accuracy", "precision", "recall", "f1_score")
        ),
        sa.Column("more", sa.JSON(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("model_metrics_by_time", "model_metrics", ["at", "id"])
