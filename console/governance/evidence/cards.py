"""A model card of a kind: what its models in force are for, learnt from, and do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sqlalchemy import select

from console.answers import rfc3339
from console.governance.reading.fleets import Scope, alarms_of, read_days
from console.governance.reading.sources import Sources
from console.governance.reports import code_version
from console.problems import not_found
from console.store import tables as t

INTENDED_USE = (
    "To say of each record how unusual it is for its own profile, with reasons, so that people "
    "look at it. An anomaly is no fault, and no decision about a person is to follow from it alone."
)
LIMITATIONS = (
    "A model knows one profile and is not to be used for another. What was abnormal while a "
    "profile learnt is normal to it. The rate of alarms is held to the alert budget on records "
    "like those it learnt from; after a change of behaviour it differs until the model is "
    "retrained. Whether groups of profiles are treated alike is for a bias analysis to say."
)


def make_card(console: Sources, scope: Scope, now: int) -> dict[str, Any]:
    """The card as JSON, by the sections of Mitchell et al., Model Cards for Model Reporting, 2019.

    Args:
        scope: of a kind, whose period bounds the counts of alarms.

    Raises:
        Problem: 404, no model of the kind is in force.
    """
    held = t.model_versions.c
    query = select(held.detector, held.trained_on, held.trigger, held.features, held.trained_at)
    with console.database.read() as connection:
        rows = connection.execute(query.where(*scope.of(held), held.in_force)).all()
    if not rows:
        raise not_found(
            f"no model of the kind {scope.kind} is in force: there is nothing to describe"
        )
    days = read_days(console.database, scope)
    records = float((days.counts["scored"] - days.counts["suppressed"]).sum())
    alarms = float(alarms_of(days.counts, "anomaly").sum())
    samples = np.array([row.trained_on or 0 for row in rows])
    names = {name for row in rows for name in row.features or ()}
    return {
        "kind": scope.kind,
        "made_at": rfc3339(now),
        "code_version": code_version(),
        "models": len(rows),
        "detectors": dict(Counter(row.detector for row in rows)),
        "triggers": dict(Counter(row.trigger for row in rows)),
        "intended_use": INTENDED_USE,
        "training_data": (
            f"Each model learnt from records of its own profile alone: {int(np.median(samples))} "
            f"samples in the median ({samples.min()} to {samples.max()}), {len(names)} features in "
            "all."
        ),
        "limitations": LIMITATIONS,
        "metrics": {
            "alert_budget": console.kafka.alert_budget,
            "alert_rate": alarms / records if records else None,
            "scored_records": records,
            "profiles_with_records": len(days.keys),
        },
    }
