"""Monitoring of performance: by labels where there are some, else by what can be seen without."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import select

from console.governance.making.shapes import alert_of, changes_shown, watched
from console.governance.reading.fleets import Days, Scope, alarms_of, read_days, read_fleet
from console.governance.reading.labelled import labelled
from console.governance.reading.sources import Sources
from console.governance.requests import MonitoringRequest
from console.store import tables as t
from models.governance.bias.fleet import Fleet, Floats
from models.governance.bias.measures import LEAST_LABELS
from models.governance.monitoring.drift import LEAST_SAMPLES
from models.governance.monitoring.rates import (
    Change,
    fall_of_auc,
    fall_of_performance,
    off_budget,
    rise_of_share,
)

LATE_MS = 3_600_000


def make_performance(
    console: Sources, request: MonitoringRequest, reference: Scope, current: Scope
) -> dict[str, Any]:
    generator = np.random.default_rng(request.seed)
    fleets = [_plain_fleet(console, scope) for scope in (reference, current)]
    changes = [
        *fall_of_performance(fleets[0], fleets[1], generator=generator),
        *_auc(console, reference, current, generator),
    ]
    enough = all(f.labels is not None and f.labels.sum() >= LEAST_LABELS for f in fleets)
    if changes and enough:
        alerts = [
            alert_of(each)
            for each in changes
            if each.interval is not None
            and each.interval[0] > 0
            and each.score > request.alert_threshold
        ]
        score = max(each.score for each in changes)
        advice = []
        if alerts:
            advice = [
                "Look at what was labelled since: GET /api/v1/labels.",
                "Train the profiles of the false alarms again: telltale profile retrain ID.",
            ]
        return watched(
            max(0.0, score), {"labelled": True, "changes": changes_shown(changes)}, alerts, advice
        )
    return _unlabelled(console, request, reference, current)


def _plain_fleet(console: Sources, scope: Scope) -> Fleet:
    return read_fleet(console.database, scope, (), "anomaly")


def _auc(
    console: Sources, reference: Scope, current: Scope, generator: np.random.Generator
) -> list[Change]:
    sides = []
    for scope in (reference, current):
        told = [
            each
            for each in labelled(console.database, scope)
            if each.body.get("p_value") is not None
        ]
        sides.append(
            (
                np.array([-np.log10(max(each.body["p_value"], 1e-300)) for each in told]),
                np.array([float(each.abnormal) for each in told]),
                np.array([each.weight for each in told]),
                np.array([f"{each.key[0]}:{each.key[1]}" for each in told]),
            )
        )
    if any(side[0].size < LEAST_LABELS for side in sides):
        return []
    pairs = [(sides[0][at], sides[1][at]) for at in range(4)]
    found = fall_of_auc(pairs[0], pairs[1], pairs[2], pairs[3], generator=generator)
    return [] if found is None else [found]


def _unlabelled(
    console: Sources, request: MonitoringRequest, reference: Scope, current: Scope
) -> dict[str, Any]:
    """Without labels: profiles off their budget, abstained records, and how long verdicts take."""
    days = [read_days(console.database, scope) for scope in (reference, current)]
    off = [
        _off_budget(console, scope, each)
        for scope, each in zip((reference, current), days, strict=True)
    ]
    if not off[1].size:
        return watched(None, {"labelled": False, "note": "no scored records"}, [], [])
    score = float(off[1].mean())
    before = float(off[0].mean()) if off[0].size else None
    abstained = rise_of_share("abstained", *[_abstained(each) for each in days])
    changes = [] if abstained is None else [abstained]
    metrics: dict[str, Any] = {
        "labelled": False,
        "off_budget": {"reference": before, "current": score, "profiles": int(off[1].size)},
        "changes": changes_shown(changes),
        "p99_seconds": {
            "reference": _p99(console, reference),
            "current": _p99(console, current),
        },
    }
    alerts = []
    if score > request.alert_threshold:
        alerts.append({"rate": "off_budget", "reference": before, "current": score, "score": score})
    advice = []
    if alerts:
        advice = [
            "Profiles raise more or fewer alarms than their budget: see docs/calibration.md.",
            "Train them on what they show now: telltale profile retrain ID.",
        ]
    return watched(score, metrics, alerts, advice)


def _off_budget(console: Sources, scope: Scope, days: Days) -> Any:
    held = t.model_versions.c
    query = select(held.partition, held.profile_id, held.alert_budget).where(
        *scope.of(held), held.in_force
    )
    with console.database.read() as connection:
        budgets = {(p, i): b for p, i, b in connection.execute(query)}
    usual = console.kafka.alert_budget
    budget = np.array([budgets.get(key, usual) for key in days.keys])
    records = days.counts["scored"] - days.counts["suppressed"]
    enough = records >= LEAST_SAMPLES
    alarms = alarms_of(days.counts, "anomaly")
    return off_budget(alarms[enough], records[enough], budget[enough])


def _abstained(days: Days) -> tuple[Floats, Floats]:
    return days.counts["abstained"], days.counts["abstained"] + days.counts["scored"]


def _p99(console: Sources, scope: Scope) -> float | None:
    """Seconds from record to verdict, of verdicts that are rows and were not late."""
    held = t.verdicts.c
    query = (
        select(held.scored_at - held.observed_at)
        .where(
            *scope.of(held),
            held.observed_at >= scope.begin,
            held.observed_at < scope.end,
            held.scored_at - held.observed_at < LATE_MS,
        )
        .order_by(held.scored_at.desc())
        .limit(10_000)
    )
    with console.database.read() as connection:
        took = list(connection.execute(query).scalars())
    return float(np.quantile(took, 0.99) / 1000) if took else None
