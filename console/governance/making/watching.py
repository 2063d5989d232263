"""A monitoring report: the current period against the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import func, select

from console.answers import rfc3339
from console.governance.access import ModelRef
from console.governance.making.performing import make_performance
from console.governance.making.shapes import alert_of, changes_shown, watched
from console.governance.reading.fleets import (
    DAY_MS,
    Scope,
    known_attributes,
    read_fleet,
)
from console.governance.reading.quality import shares_of
from console.governance.reading.sketches import read_sketches
from console.governance.reading.sources import Sources
from console.governance.requests import MonitoringRequest
from console.store import tables as t
from models.governance.bias.fleet import groups_of
from models.governance.monitoring.drift import LEAST_SAMPLES, drift
from models.governance.monitoring.periods import periods
from models.governance.monitoring.rates import (
    rise_of_bias,
    rise_of_share,
)

SIGNIFICANT = 0.05


def make_monitoring(
    console: Sources, ref: ModelRef, request: MonitoringRequest, prefix: str, now: int
) -> dict[str, Any]:
    """The result of a comparison of periods; the fields of ``MonitoringResponse``."""
    told = periods(request.reference_period, request.current_period, now // DAY_MS)
    reference, current = (
        Scope(ref.kind, prefix, first * DAY_MS, last * DAY_MS, ref.profile_id)
        for first, last in (told.reference, told.current)
    )
    making = {
        "drift": _drift,
        "performance": make_performance,
        "bias": _bias,
        "data_quality": _quality,
    }[request.monitoring_type]
    result = making(console, request, reference, current)
    score = result["drift_score"]
    result["drift_threshold"] = request.alert_threshold
    result["drift_detected"] = score is not None and score > request.alert_threshold
    if score is None:
        result["status"] = "insufficient_data"
    since = rfc3339(current.begin)
    result["alerts"] = [
        each | {"threshold": request.alert_threshold, "since": since}
        for each in result.get("alerts", [])
    ]
    result["metrics"] |= {
        "reference": {"from": rfc3339(reference.begin), "until": rfc3339(reference.end)},
        "current": {"from": rfc3339(current.begin), "until": rfc3339(current.end)},
    }
    return result


def _drift(
    console: Sources, request: MonitoringRequest, reference: Scope, current: Scope
) -> dict[str, Any]:
    """Of one profile: the share of its features that moved. Of a fleet: of profiles that drift."""
    names, sketches = read_sketches(console.database, reference, current)
    moved = drift(*sketches) if names else None
    features: list[dict[str, Any]] = []
    if moved is not None:
        features = [
            {
                "profile_id": names[at][1],
                "feature": names[at][2],
                "psi": float(moved.psi[at]),
                "p_value": float(moved.p_value[at]),
                "ks": float(moved.ks[at]),
                "moved": bool(moved.moved[at]),
            }
            for at in np.flatnonzero(moved.known)
        ]
    gone = [each for each in features if each["moved"]]
    alerts = [
        {
            "feature": each["feature"],
            "profile_id": each["profile_id"],
            "reference": 0.0,
            "current": each["psi"],
            "score": each["psi"],
        }
        for each in sorted(gone, key=lambda each: -each["psi"])[:100]
    ]
    known = {each["profile_id"] for each in features}
    if current.profile_id is not None:
        score = len(gone) / len(features) if features else None
        metrics: dict[str, Any] = {"features": features, "moved": len(gone)}
        name = current.profile_id
    else:
        score, metrics = _drifting(console, current)
        shared: dict[str, int] = {}
        for each in gone:
            shared[each["feature"]] = shared.get(each["feature"], 0) + 1
        metrics |= {
            "features_moved": dict(sorted(shared.items(), key=lambda item: (-item[1], item[0]))),
            "profiles_with_sketches": len(known),
            "features_compared": len(features),
        }
        if score is None and features:
            score = 0.0
        name = "ID"
    if not features and current.profile_id is not None:
        metrics["note"] = (
            f"fewer than {LEAST_SAMPLES} samples of each feature in one of the periods"
        )
    advice = []
    if gone or (score or 0) > request.alert_threshold:
        advice = [
            "Look at the profile's new values before a model learns them: telltale profile show "
            f"{name}.",
            f"If they are its new normal, let it learn them: telltale profile retrain {name}, or "
            f"telltale profile adopt {name}.",
            "If they are not, hold it until its source is mended: telltale profile hold "
            f"{name} --until TIME.",
        ]
    return watched(score, metrics, alerts, advice)


def _drifting(console: Sources, scope: Scope) -> tuple[float | None, dict[str, Any]]:
    held, told = t.profiles.c, t.lifecycle_events.c
    active = select(func.count()).select_from(t.profiles)
    since = select(func.count(func.distinct(told.profile_id))).where(
        *scope.of(told), told.event == "drifting", told.at >= scope.begin, told.at < scope.end
    )
    with console.database.read() as connection:
        count = connection.execute(
            active.where(*scope.of(held), held.state == "active")
        ).scalar_one()
        drifting = connection.execute(since).scalar_one()
    metrics = {"active_profiles": count, "drifting_profiles": drifting}
    return (min(1.0, drifting / count) if count else None), metrics


def _bias(
    console: Sources, request: MonitoringRequest, reference: Scope, current: Scope
) -> dict[str, Any]:
    whole = replace(reference, end=current.end)
    names = request.protected_attributes or known_attributes(console.database, whole)[:20]
    generator = np.random.default_rng(request.seed)
    fleets = [
        read_fleet(console.database, scope, names, "anomaly") for scope in (reference, current)
    ]
    changes = []
    for name in names:
        groups = [groups_of(name, fleet.attributes[name]) for fleet in fleets]
        found = rise_of_bias(fleets[0], fleets[1], (groups[0], groups[1]), generator=generator)
        if found is not None:
            changes.append(found)
    alerts = [
        alert_of(each)
        for each in changes
        if each.score > request.alert_threshold
        and each.interval is not None
        and each.interval[0] > 0
    ]
    score = max(0.0, max(each.score for each in changes)) if changes else None
    advice = []
    if alerts:
        advice = [
            "Groups are alarmed less alike than before: telltale govern bias "
            f"fleet:{current.kind} says which, and why."
        ]
    if not changes:
        advice = ["Say what is known of profiles: PUT /api/v1/attributes."]
    return watched(score, {"changes": changes_shown(changes)}, alerts, advice)


def _quality(
    console: Sources, request: MonitoringRequest, reference: Scope, current: Scope
) -> dict[str, Any]:
    sides = [shares_of(console.database, scope, reference) for scope in (reference, current)]
    changes = []
    for name, now in sides[1].items():
        before = sides[0].get(name)
        if before is None and name.startswith("dead_letters") and sides[0].get("dead_letters all"):
            # A reason that is new.
            _, every = sides[0]["dead_letters all"]
            before = (np.zeros(every.size), every)
        found = None if before is None else rise_of_share(name, before, now)
        if found is not None:
            changes.append(found)
    unknown = sorted({"unknown_names", "repeated"} - {each.name for each in changes})
    alerts = [
        alert_of(each)
        for each in changes
        if each.score > request.alert_threshold and (each.p_value or 0.0) < SIGNIFICANT
    ]
    score = max(0.0, max(each.score for each in changes)) if changes else None
    advice = [
        f"{alert['rate']} rose from {alert['reference']:.1%} to {alert['current']:.1%}: have its "
        f"producer looked at; telltale tail --kind {current.kind} and telltale dead-letter list "
        "show what comes."
        for alert in alerts
    ]
    metrics = {"changes": changes_shown(changes), "not_measured": unknown}
    return watched(score, metrics, alerts, advice)
