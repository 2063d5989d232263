"""Alerts in lists with the chance that an analyst confirms them, by the triage model in use."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import and_, select

from console.auth.permissions import Caller
from console.lab.blobs import Blobs
from console.lab.registry.storing import IN_USE, visible
from console.lab.tables import registered_models
from console.lab.triage.features import DAY_MS, FEATURES, AlarmTimes, Alert, row_of
from console.lab.triage.versions import trained_versions
from console.store import tables as t
from console.store.database import Database

PROBABILITY = "triage_probability"
_opening = threading.Lock()
_opened: dict[str, Any] = {}
"""Model id → the model; of those in use there are few."""

MOST_OPENED = 8


def rank(
    database: Database, data_dir: str, who: Caller, items: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Verdicts with `triage_probability`, which is null for those that are no alerts.

    Without a model in use they are as they were.
    """
    alerts = [item for item in items if item.get("anomaly")]
    if not alerts:
        return items
    held = registered_models.c
    query = select(held.id, held.path, held.features).where(
        held.family == "triage", held.stage == IN_USE, visible(who)
    )
    with database.read() as connection:
        row = connection.execute(query.order_by(held.created_at.desc()).limit(1)).first()
    # One of another version of these features would read them wrongly.
    if row is None or row.features != list(FEATURES):
        return items
    model = _model(row.id, row.path, data_dir)
    if model is None:
        return items
    import numpy as np

    from console.lab.triage.training import probabilities

    rows = [row_of(alert) for alert in _around(database, alerts)]
    found = probabilities(model, np.array(rows, dtype=np.float64)).tolist()
    known = {item["verdict_id"]: round(p, 6) for item, p in zip(alerts, found, strict=True)}
    return [item | {PROBABILITY: known.get(item["verdict_id"])} for item in items]


def _model(model_id: str, path: str, data_dir: str) -> Any:
    with _opening:
        if model_id not in _opened:
            # scikit-learn is loaded when the first alert is ranked.
            from console.lab.registry.files import opened
            from console.problems import Problem

            try:
                with Blobs(data_dir).open(path) as file:
                    model = opened(file.read())
            except (OSError, Problem):
                model = None
            if len(_opened) >= MOST_OPENED:
                _opened.clear()
            _opened[model_id] = model
        return _opened[model_id]


def _around(database: Database, items: list[dict[str, Any]]) -> list[Alert]:
    """Alerts with the alarms of their profiles before them, and their models."""
    kept = t.verdicts.c
    ids = {item["profile_id"] for item in items}
    first = min(item["observed_at"] for item in items) - DAY_MS
    last = max(item["observed_at"] for item in items)
    alarms = (
        select(kept.kind, kept.profile_id, kept.observed_at)
        .where(and_(kept.profile_id.in_(ids), kept.anomaly))
        .where(kept.observed_at >= first, kept.observed_at <= last)
        .order_by(kept.observed_at)
    )
    times = AlarmTimes()
    with database.read() as connection:
        for row in connection.execute(alarms):
            times.note((row.kind, row.profile_id), row.observed_at)
        known = trained_versions(connection, t.model_versions.c.profile_id.in_(ids))
    found = []
    for item in items:
        at = item["observed_at"]
        hour, day = times.before((item["kind"], item["profile_id"]), at)
        of = item["kind"], item["profile_id"], item.get("model_version")
        found.append(Alert(item, at, hour, day, *known.get(of, (None, None))))
    return found
