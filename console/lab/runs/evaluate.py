"""The job type `evaluate`: what the labels of analysts say of the verdicts in the store."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import and_, select

from console.auth.permissions import Caller
from console.jobs.context import Context, JobError
from console.lab.runs.parts import PARTS, Judged, p_score
from console.store import tables as t
from models.features import KINDS


class EvaluateConfig(BaseModel):
    """Whose verdicts are evaluated."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    profile_id: str | None = Field(None, description="One profile; else all of the kind.")


def run(context: Context) -> dict[str, Any]:
    """Hold the verdicts against their labels, the oldest first.

    Raises:
        JobError: nothing is labelled.
    """
    config = EvaluateConfig(**context.config)
    if config.kind not in KINDS:
        raise JobError(f"kind: expected one of {', '.join(KINDS)}, got {config.kind!r}")
    owner = context.owner
    who = Caller(owner.by, "", "", owner.organization_id, owner.profile_prefix)
    kept, said = t.verdicts.c, t.labels.c
    seen = [
        kept.kind == config.kind,
        kept.status == "scored",
        who.own(kept.profile_id),
        said.label.in_(("anomaly", "normal")),
    ]
    if config.profile_id is not None:
        seen.append(kept.profile_id == config.profile_id)
    query = (
        select(kept.body, said.label, said.weight)
        .join_from(t.verdicts, t.labels, kept.verdict_id == said.verdict_id)
        .where(and_(*seen))
        .order_by(kept.scored_at)
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        raise JobError("labels: expected some on verdicts of this kind, got none: label some first")
    judged, part = Judged(), 1
    for number, row in enumerate(rows, start=1):
        body = row.body
        known = row.label == "anomaly"
        judged.add(
            int(known), body["anomaly"], p_score(body), body["profile_id"], row.weight or 1.0
        )
        while part <= PARTS and number >= part * len(rows) / PARTS:
            judged.report(context, part, number)
            part += 1
    return judged.figures()
