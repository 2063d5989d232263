"""What a chart is of: a job that has ended, a registered model, a detector, or all of a kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, select

from console.auth.permissions import Caller
from console.jobs.endpoints import results_of
from console.jobs.reading import history, job_row
from console.lab.registry.storing import model_row
from console.problems import Problem, not_found
from console.routes.models import FLEET, detector_exists
from console.services import Services
from console.store import tables as t

EMPTY_HISTORY: dict[str, list[Any]] = {"epochs": [], "train_loss": [], "val_loss": []}
MOST = 20_000
"""Labelled verdicts that figures are made of, the newest."""


@dataclass(frozen=True)
class Found:
    """Figures under the names of the API.

    Attributes:
        registered: the row of a registered model.
        detector: kind, profile's id or None for all, and version or None.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    registered: dict[str, Any] | None = None
    detector: tuple[str, str | None, int | None] | None = None


def find(root: Services, console: Services, who: Caller, name: str) -> Found:
    """What a job's or a model's id names, with its figures.

    Raises:
        Problem: 404; 409 for a job that has not ended.
    """
    row = model_row(console.database, who, name)
    if row is not None:
        figures = dict(row["figures"])
        if row["job_id"] is not None:
            figures |= {"training_history": history(root.accounts, row["job_id"])}
        return Found(figures, registered=row)
    if detector_exists(console, who, name):
        kind, _, rest = name.partition(":")
        profile_id, version = (None, None) if kind == FLEET else _named(console, kind, rest)
        kind = rest if kind == FLEET else kind
        return Found(
            _labelled(console, who, kind, profile_id, version), None, (kind, profile_id, version)
        )
    try:
        job = job_row(root.accounts, who, name)
    except Problem:
        raise not_found("there is no such job or model") from None
    figures = results_of(root, job)
    model_id = figures.get("model_id")
    return Found(figures, model_row(console.database, who, model_id) if model_id else None)


def _named(console: Services, kind: str, rest: str) -> tuple[str | None, int | None]:
    """Profile and version that a name says: an id may hold an @ itself."""
    bare, _, told = rest.rpartition("@")
    with console.database.read() as connection:
        held = t.model_versions.c
        whole = connection.execute(
            select(held.kind).where(held.kind == kind, held.profile_id == rest)
        ).first()
    if whole is None and bare and told.isascii() and told.isdigit():
        return bare, int(told)
    return rest, None


def _labelled(
    console: Services, who: Caller, kind: str, profile_id: str | None, version: int | None
) -> dict[str, Any]:
    """Figures of a detector by the labels of its verdicts, at the budget in force."""
    import numpy as np

    from console.lab.triage.figures import confusion, roc, scores

    kept, said = t.verdicts.c, t.labels.c
    seen = [
        kept.kind == kind,
        kept.status == "scored",
        who.own(kept.profile_id),
        said.label.in_(("anomaly", "normal")),
    ]
    if profile_id is not None:
        seen.append(kept.profile_id == profile_id)
    query = (
        select(kept.body, kept.profile_id, kept.anomaly, said.label, said.weight)
        .join_from(t.verdicts, t.labels, kept.verdict_id == said.verdict_id)
        .where(and_(*seen))
        .order_by(kept.scored_at.desc())
        .limit(MOST)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).all()
        scored = connection.execute(
            select(t.verdict_hours.c.records).where(
                t.verdict_hours.c.kind == kind, t.verdict_hours.c.status == "scored"
            )
        ).scalars()
        records = sum(scored)
    if version is not None:
        rows = [row for row in rows if row.body.get("model_version") == version]
    y = np.array([row.label == "anomaly" for row in rows], dtype=np.int64)
    alarmed = np.array([row.anomaly for row in rows], dtype=np.bool_)
    weight = np.array([row.weight or 1.0 for row in rows], dtype=np.float64)
    if version is None:
        values = [-np.log10(max(row.body.get("p_value") or 1.0, 1e-12)) for row in rows]
    else:
        values = [row.body.get("score") or 0.0 for row in rows]
    numbers: dict[str, int] = {}
    profile = np.array(
        [numbers.setdefault(row.profile_id, len(numbers)) for row in rows], dtype=np.int64
    )
    names = _contributions([row.body for row in rows if row.anomaly])
    return {
        "confusion_matrix": confusion(y, alarmed) if len(rows) else [[0, 0], [0, 0]],
        "roc_curve": roc(y, np.array(values, dtype=np.float64), weight, profile, 0),
        "scores": scores(y, alarmed, weight),
        "feature_importance": {"features": list(names), "scores": list(names.values())},
        "training_history": EMPTY_HISTORY,
        "labels": len(rows),
        "labelled_share": None if not records or profile_id else len(rows) / records,
    }


def _contributions(bodies: list[dict[str, Any]]) -> dict[str, float]:
    """Mean contribution of each feature to alerts, the largest first."""
    total: dict[str, float] = {}
    for body in bodies:
        for reason in body.get("reasons") or ():
            name = str(reason.get("feature"))
            total[name] = total.get(name, 0.0) + float(reason.get("contribution") or 0.0)
    mean = {name: value / len(bodies) for name, value in total.items()}
    return dict(sorted(mean.items(), key=lambda item: -item[1])[:50])


def contributions(
    console: Services, who: Caller, kind: str, profile_id: str | None
) -> dict[str, float]:
    """Mean contribution of each feature to the newest alerts of a detector."""
    kept = t.verdicts.c
    query = select(kept.body).where(kept.kind == kind, kept.anomaly, who.own(kept.profile_id))
    if profile_id is not None:
        query = query.where(kept.profile_id == profile_id)
    with console.database.read() as connection:
        newest = connection.execute(query.order_by(kept.scored_at.desc()).limit(1000)).scalars()
        bodies = list(newest)
    return _contributions(bodies)
