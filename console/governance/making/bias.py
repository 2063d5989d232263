"""A bias report: a fleet of profiles of the store, or an uploaded table."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import select

from console.governance.access import ModelRef
from console.governance.reading import records
from console.governance.reading.fleets import DAY_MS, Scope, read_fleet
from console.governance.reading.sources import Sources
from console.governance.reading.tables import columns_of
from console.governance.requests import PERIOD, BiasAnalysisRequest
from console.problems import Problem
from console.store import tables as t
from models.governance.bias.analysis import OF_TYPE, BiasRequest, analyse
from models.governance.bias.fleet import Fleet, Floats
from models.governance.bias.individual import MOST_RECORDS, Deviations
from models.governance.bias.tables import BadColumn, fleet_of_table
from models.governance.monitoring.periods import days_of

MOST_PROFILES = 100
"""Whose artefacts are opened for individual fairness."""


def scope_of(ref: ModelRef, prefix: str, period: str, now: int) -> Scope:
    """The last days up to today, in UTC."""
    end = (now // DAY_MS + 1) * DAY_MS
    return Scope(ref.kind, prefix, end - days_of(period) * DAY_MS, end, ref.profile_id)


def make_bias(
    console: Sources, ref: ModelRef, request: BiasAnalysisRequest, prefix: str, now: int
) -> dict[str, Any]:
    """The result of a bias analysis.

    Raises:
        Problem: 422, a column or a data set is not as it is needed; 404, 410, 503.
    """
    wanted = BiasRequest(
        attributes=list(dict.fromkeys(request.protected_attributes)),
        analysis_type=request.analysis_type,
        thresholds=request.thresholds,
        intersectional=request.enable_intersectional_analysis,
        confidence=request.confidence_level,
        bootstrap_samples=request.bootstrap_samples,
        weighting=request.weighting,
        seed=request.seed,
        kind=ref.kind,
    )
    deviations, told = None, ""
    prediction = request.prediction_column or "anomaly"
    try:
        if request.dataset_id.startswith(PERIOD):
            scope = scope_of(ref, prefix, request.dataset_id.removeprefix(PERIOD), now)
            fleet = read_fleet(console.database, scope, wanted.attributes, prediction)
            if "individual_fairness" in OF_TYPE[request.analysis_type]:
                deviations, told = _deviations(console, scope, list(wanted.attributes))
        else:
            fleet = _table(console, request, prediction)
    except BadColumn as error:
        raise Problem(422, "invalid_request", str(error)) from None
    result = analyse(fleet, wanted, deviations)
    result["analysis_metadata"] = {
        "units": fleet.size,
        "records": float(fleet.records.sum()),
        "attribute_coverage": result.pop("coverage"),
        "overall": result.pop("overall"),
        "why_groups_differ": result.pop("why_groups_differ"),
        "prediction": prediction,
        "weighting": request.weighting,
        "seed": request.seed,
        "unit_of_chance": "profile",
        "individual_fairness": told or None,
    }
    return result


def _table(console: Sources, request: BiasAnalysisRequest, prediction: str) -> Fleet:
    columns = columns_of(console, request.dataset_id)
    target = request.target_column
    if target == "label" and target not in columns:
        return fleet_of_table(columns, request.protected_attributes, None, prediction)
    return fleet_of_table(columns, request.protected_attributes, target, prediction)


def _deviations(
    console: Sources, scope: Scope, attributes: list[str]
) -> tuple[Deviations | None, str]:
    """Records of the period as deviations from their own profile's normal, and what was left out.

    What cannot be read leaves the metric out; the others stand.
    """
    held = t.verdicts.c
    query = (
        select(held.verdict_id, held.partition, held.profile_id, held.body)
        .where(
            *scope.of(held),
            held.status == "scored",
            held.scored_at >= scope.begin,
            held.scored_at < scope.end,
        )
        .order_by(held.scored_at.desc())
        .limit(4 * MOST_RECORDS)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    versions: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        key = (row.partition, row.profile_id)
        if key not in versions and len(versions) < MOST_PROFILES:
            try:
                versions[key] = records.version_row(
                    console.database, scope.kind, row.profile_id, row.partition
                )
            except Problem:
                continue
    kept = [row for row in rows if (row.partition, row.profile_id) in versions][:MOST_RECORDS]
    try:
        samples = records.rows_again(console.kafka, versions, [row.verdict_id for row in kept])
        return _in_own_scales(console, versions, kept, samples, attributes)
    except Problem as problem:
        return None, f"records could not be read again: {problem.detail}"


def _in_own_scales(
    console: Sources,
    versions: dict[tuple[int, str], dict[str, Any]],
    kept: Any,
    samples: dict[str, Floats],
    attributes: list[str],
) -> tuple[Deviations | None, str]:
    scales = {}
    for key, version in versions.items():
        try:
            model = records.open_model(console.kafka, version)
        except Problem:
            continue
        if records.judges_rows(model):
            scales[key] = (*records.own_scale(model), model.features)
    names = sorted({n for _, _, features in scales.values() for n in features} - set(attributes))
    place = {name: at for at, name in enumerate(names)}
    rows, scores, profiles = [], [], []
    numbers = {key: at for at, key in enumerate(scales)}
    for told in kept:
        key = (told.partition, told.profile_id)
        own = samples.get(told.verdict_id)
        if own is None or key not in scales or told.body.get("score") is None:
            continue
        middle, scale, features = scales[key]
        row = np.full(len(names), np.nan)
        # Of several samples, the first stands for the record: the verdict says one score.
        for name, value in zip(features, (own[0] - middle) / scale, strict=True):
            if name in place:
                row[place[name]] = value
        rows.append(row)
        scores.append(float(told.body["score"]))
        profiles.append(numbers[key])
    if not rows or not names:
        return None, "no records of the period can be read again with their models"
    told_of = f"{len(rows)} records of {len(set(profiles))} profiles were read again"
    return Deviations(np.stack(rows), np.array(scores), np.array(profiles)), told_of
