"""An explanation: of one verdict or sample at once, of many as a report."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import select

from console.governance.access import ModelRef
from console.governance.making.bias import scope_of
from console.governance.reading import records
from console.governance.reading.labelled import labelled
from console.governance.reading.sources import Sources
from console.governance.requests import ExplanationRequest
from console.problems import Problem
from console.store import tables as t
from models.artifacts import Model
from models.explanation.importance import reasons_in_all, surrogate
from models.explanation.shapley import Floats, NothingToExplain
from models.explanation.single import explain_permutation, explain_sample, most_abnormal

MOST_RECENT = 1000
MOST_ANOMALIES = 5000
MOST_IN_TREE = 500
MOST_PROFILES = 50


def make_explanation(
    console: Sources, ref: ModelRef, request: ExplanationRequest, prefix: str, now: int
) -> dict[str, Any]:
    """The result of an explanation.

    Raises:
        Problem: 410 if the record or the version is gone, 422 if there is nothing to explain.
    """
    try:
        if request.explanation_type == "global":
            return _global(console, ref, request, prefix, now)
        if request.explanation_type == "permutation":
            return _permutation(console, ref, request, prefix, now)
        return _one(console, ref, request, prefix)
    except NothingToExplain as error:
        raise Problem(422, "not_explainable", str(error)) from None


def _one(
    console: Sources, ref: ModelRef, request: ExplanationRequest, prefix: str
) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if request.instance_id is not None:
        found = records.judged(console.kafka, console.database, request.instance_id, ref.version)
        _belongs(ref, found, prefix)
        version, model, rows = found.version, found.model, found.rows
        metadata |= {"instance_id": request.instance_id}
    else:
        if ref.profile_id is None:
            raise Problem(
                422,
                "invalid_request",
                "instance_data: expected a model of one profile, as <kind>:<profile_id>",
            )
        version = records.version_row(
            console.database, ref.kind, ref.profile_id, version=ref.version
        )
        model = records.open_model(console.kafka, version)
        rows = _given(request, model)
    metadata |= {"model_version": version["version"], "profile_id": version["profile_id"]}
    if not records.judges_rows(model):
        return _told(console, request, metadata)
    detector = model.row_detector
    at = most_abnormal(detector, rows)
    told = explain_sample(
        detector,
        model.features,
        rows[at],
        model.learnt(),
        request.explanation_type,
        num_features=request.num_features,
        wanted=request.feature_names,
        generator=np.random.default_rng(request.seed),
    )
    told["metadata"] |= metadata | {
        "sample": at,
        "samples": int(rows.shape[0]),
        "values": {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(model.features, rows[at], strict=True)
        },
        "detector": version["detector"],
        "seed": request.seed,
    }
    return told


def _belongs(ref: ModelRef, found: records.Judged, prefix: str) -> None:
    profile_id = found.decoded.profile_id
    if not profile_id.startswith(prefix):
        raise Problem(403, "forbidden", "expected a verdict on a profile of your organisation")
    if found.decoded.kind != ref.kind or ref.profile_id not in (None, profile_id):
        raise Problem(
            422,
            "invalid_request",
            f"instance_id: expected a verdict of {ref.kind}:{ref.profile_id or '<any profile>'}, "
            f"got one of {found.decoded.kind}:{profile_id}",
        )


def _given(request: ExplanationRequest, model: Model) -> Floats:
    given = request.instance_data or {}
    if not any(name in given for name in model.features):
        known = ", ".join(model.features[:10])
        raise Problem(
            422, "feature_mismatch", f"instance_data: expected some of the features {known}"
        )
    row = [np.nan if given.get(n) is None else float(given[n]) for n in model.features]
    return np.array([row])


def _told(
    console: Sources, request: ExplanationRequest, metadata: dict[str, Any]
) -> dict[str, Any]:
    """What a detector that judges points in their order said itself, if it is an anomaly."""
    if request.explanation_type != "contributions" or request.instance_id is None:
        raise Problem(
            422,
            "not_explainable",
            "the detector judges points in their order: expected explanation_type contributions "
            "of a verdict that is an anomaly",
        )
    held = t.verdicts.c
    with console.database.read() as connection:
        body = connection.execute(
            select(held.body).where(held.verdict_id == request.instance_id)
        ).scalar()
    reasons = (body or {}).get("reasons") or []
    if not reasons:
        raise Problem(422, "not_explainable", "the verdict gives no reasons: it is no anomaly")
    return {
        "feature_importance": [
            {str(r["feature"]): float(r["contribution"])} for r in reasons[: request.num_features]
        ],
        "metadata": metadata | {"reasons": reasons},
    }


def _permutation(
    console: Sources, ref: ModelRef, request: ExplanationRequest, prefix: str, now: int
) -> dict[str, Any]:
    if ref.profile_id is None:
        raise Problem(
            422,
            "invalid_request",
            "permutation: expected a model of one profile, as <kind>:<profile_id>",
        )
    version = records.version_row(console.database, ref.kind, ref.profile_id, version=ref.version)
    model = records.open_model(console.kafka, version)
    if not records.judges_rows(model):
        raise Problem(422, "not_explainable", "the detector judges points in their order")
    found = records.latest_rows(console.kafka, version, version["partition"], MOST_RECENT)
    scope = scope_of(ref, prefix, request.period, now)
    said = {told.verdict_id: told for told in labelled(console.database, scope)}
    rows, labels, weights = [], [], []
    for verdict_id, own in found:
        told = said.get(verdict_id)
        rows.append(own[most_abnormal(model.row_detector, own)])
        labels.append(np.nan if told is None else float(told.abnormal))
        weights.append(0.0 if told is None else told.weight)
    result = explain_permutation(
        model.row_detector,
        model.features,
        np.array(rows).reshape(len(rows), len(model.features)),
        np.array(labels),
        np.array(weights),
        num_features=request.num_features,
        wanted=request.feature_names,
        generator=np.random.default_rng(request.seed),
    )
    result["metadata"] |= {"model_version": version["version"], "seed": request.seed}
    return result


def _global(
    console: Sources, ref: ModelRef, request: ExplanationRequest, prefix: str, now: int
) -> dict[str, Any]:
    scope = scope_of(ref, prefix, request.period, now)
    held = t.verdicts.c
    of = [
        *scope.of(held),
        held.status == "scored",
        held.scored_at >= scope.begin,
        held.scored_at < scope.end,
    ]
    newest = select(held.verdict_id, held.partition, held.profile_id, held.body, held.anomaly)
    with console.database.read() as connection:
        anomalies = connection.execute(
            newest.where(*of, held.anomaly).order_by(held.scored_at.desc()).limit(MOST_ANOMALIES)
        ).all()
        normal = connection.execute(
            newest.where(*of, ~held.anomaly).order_by(held.scored_at.desc()).limit(MOST_IN_TREE)
        ).all()
    told = reasons_in_all([row.body for row in anomalies])
    tree, why = _tree(console, scope.kind, [*anomalies[:MOST_IN_TREE], *normal], request.seed)
    ordered = list(told["mean_contribution"].items())
    if request.feature_names is not None:
        ordered = [each for each in ordered if each[0] in request.feature_names]
    return {
        "feature_importance": [{name: v} for name, v in ordered[: request.num_features]],
        "global_explanations": told | {"surrogate": tree, "surrogate_note": why},
        "metadata": {"period": request.period, "seed": request.seed},
    }


def _tree(
    console: Sources, kind: str, rows: list[Any], seed: int
) -> tuple[dict[str, Any] | None, str | None]:
    """A tree on deviations that imitates verdicts, or why there is none."""
    versions: dict[tuple[int, str], dict[str, Any]] = {}
    scales: dict[tuple[int, str], Any] = {}
    for row in rows:
        key = (row.partition, row.profile_id)
        if key in versions or len(versions) >= MOST_PROFILES:
            continue
        try:
            version = records.version_row(console.database, kind, row.profile_id, row.partition)
            model = records.open_model(console.kafka, version)
        except Problem:
            continue
        if records.judges_rows(model):
            versions[key] = version
            scales[key] = (*records.own_scale(model), model.features)
    kept = [row for row in rows if (row.partition, row.profile_id) in versions]
    try:
        samples = records.rows_again(console.kafka, versions, [row.verdict_id for row in kept])
    except Problem as problem:
        return None, problem.detail
    names = sorted({n for _, _, features in scales.values() for n in features})
    place = {name: at for at, name in enumerate(names)}
    numbers = {key: at for at, key in enumerate(versions)}
    found, alarmed, profiles = [], [], []
    for row in kept:
        own = samples.get(row.verdict_id)
        if own is None:
            continue
        key = (row.partition, row.profile_id)
        middle, scale, features = scales[key]
        line = np.full(len(names), np.nan)
        line[[place[name] for name in features]] = (own[0] - middle) / scale
        found.append(line)
        alarmed.append(bool(row.anomaly))
        profiles.append(numbers[key])
    if not found:
        return None, "no records of the period can be read again with their models"
    made = surrogate(np.stack(found), np.array(alarmed), np.array(profiles), names, seed)
    needed = "anomalies and normal verdicts of at least three profiles are needed"
    return made, None if made is not None else needed
