"""Indexes of the pages: lists of anomalies, events, models and dead letters in their order."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LISTED = ["scored_at", "verdict_id", "kind", "severity", "profile_id", "suppressed", "anomaly"]


def upgrade() -> None:
    op.drop_index("verdicts_by_time", "verdicts")
    op.create_index("verdicts_by_time", "verdicts", LISTED)
    op.create_index("lifecycle_by_time", "lifecycle_events", ["at", "partition", "offset"])
    op.create_index(
        "models_in_force", "model_versions", ["in_force", "kind", "profile_id", "partition"]
    )
    op.create_index("dead_letters_by_time", "dead_letters", ["at", "partition", "offset"])
    op.create_index(
        "dead_letters_by_reason", "dead_letters", ["reason", "at", "partition", "offset"]
    )
