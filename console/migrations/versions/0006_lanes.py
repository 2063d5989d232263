"""Buckets of the swim lanes, filled from the anomalies that the store has."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lane_buckets",
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("profile_id", sa.Text(), nullable=False),
        sa.Column("feature", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("anomalies", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("bucket", "kind", "partition", "profile_id", "feature", "severity"),
        sqlite_with_rowid=False,
    )
    op.create_index("lane_buckets_by_profile", "lane_buckets", ["profile_id", "kind"])
    op.create_table(
        "lane_pages",
        sa.Column("page", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("page"),
    )
    # Offsets are beyond these verdicts: nothing else would bring them into the lanes.
    sqlite = op.get_bind().dialect.name == "sqlite"
    # PostgreSQL reads no JSON with a NUL in it.
    if sqlite:
        held = "replace(body, '\\u0000', '\\ufffd')"
        feature = f"json_extract({held}, '$.reasons[0].feature')"
        score = f"json_extract({held}, '$.score')"
    else:
        held = "replace(body::text, '\\u0000', '\\ufffd')::json"
        feature = f"{held} #>> '{{reasons,0,feature}}'"
        score = f"({held} ->> 'score')::float"
    op.execute(
        f"""
        INSERT INTO lane_buckets
        SELECT scored_at / 300000 * 300000, kind, partition, profile_id,
               coalesce({feature}, ''), severity, count(*), max({score})
        FROM verdicts
        WHERE anomaly AND NOT suppressed AND severity IN ('low', 'medium', 'high', 'critical')
        GROUP BY 1, 2, 3, 4, 5, 6
        """  # noqa: S608  (no part of it comes from elsewhere)
    )
    op.execute(
        "INSERT INTO lane_pages SELECT DISTINCT bucket / 900000 * 900000, 1 FROM lane_buckets"
    )
