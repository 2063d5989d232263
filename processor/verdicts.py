"""Verdicts and accepted samples: from scores to the records that are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import isnan
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.artifacts import Model
from models.calibration import sample_budget
from models.judging import judge
from models.severity import severity
from processor.decode import Decoded
from processor.draft import Pending
from processor.records import Headers, Incoming, Outgoing
from processor.state import Active, Learning, Profile
from processor.tracing import traceparent

MAX_REASONS = 10
MAX_SAMPLE_VERDICTS = 100

Floats = NDArray[np.float64]

_JSON = orjson.OPT_SERIALIZE_NUMPY


@dataclass(slots=True)
class Judgement:
    """What the scores of one record's samples come to.

    Attributes:
        rows: the samples with evidence, shape (samples, features).
        indices: their places in the record.
        decisions: score less the threshold at the record's budget; below 0 is an anomaly.
        p_values: share of normal samples at least as abnormal.
        unit: score from 0 to 1, higher is more abnormal.
        worst: which of them is the most abnormal.
        anomaly: whether that one is an anomaly, and with it the record.
    """

    rows: Floats
    indices: NDArray[np.int64]
    decisions: list[float]
    p_values: list[float]
    unit: list[float]
    worst: int
    severity: str
    anomaly: bool


def judgements(
    waiting: Sequence[Sequence[Pending]], models: Sequence[Model], budget: float
) -> list[list[Judgement | None]]:
    """Judge records that wait, those of each model together; None where all is no evidence."""
    items = [item for group in waiting for item in group]
    sizes = [len(item.rows) for item in items]
    each = {size: sample_budget(budget, size) for size in set(sizes)}
    judged = judge(
        [model.bench for model in models],
        np.array([sum(len(item.rows) for item in group) for group in waiting]),
        np.concatenate([item.rows for item in items], axis=None),
        np.repeat([each[size] for size in sizes], sizes),
    )
    decisions, p_values, unit = (
        numbers.tolist() for numbers in (judged.decisions, judged.p_values, judged.unit)
    )
    found: list[list[Judgement | None]] = []
    end = 0
    for group, model in zip(waiting, models, strict=True):
        spread = model.detector.calibration_.spread
        of_model: list[Judgement | None] = []
        for item in group:
            begin, end = end, end + len(item.rows)
            of_model.append(
                _judgement(
                    item,
                    decisions[begin:end],
                    p_values[begin:end],
                    unit[begin:end],
                    each[end - begin],
                    spread,
                )
            )
        found.append(of_model)
    return found


def _judgement(
    item: Pending,
    decisions: list[float],
    p_values: list[float],
    unit: list[float],
    budget: float,
    spread: float,
) -> Judgement | None:
    rows, indices = item.rows, item.indices
    if isnan(sum(decisions)):
        evident = [at for at, decision in enumerate(decisions) if decision == decision]
        if not evident:
            return None
        rows, indices = rows[evident], indices[evident]
        decisions, p_values, unit = (
            [numbers[at] for at in evident] for numbers in (decisions, p_values, unit)
        )
    decision = min(decisions)
    worst = decisions.index(decision)
    anomaly = decision < 0
    grade = severity(p_values[worst], budget, decision, spread) if anomaly else "none"
    return Judgement(rows, indices, decisions, p_values, unit, worst, grade, anomaly)


def verdict_id(record: Incoming) -> str:
    """The key by which duplicates are told."""
    return f"{record.topic}-{record.partition}-{record.offset}"


def unscored(
    record: Incoming,
    decoded: Decoded,
    status: str,
    *,
    profile: Profile | None,
    generation: int | None,
    needed: int,
    suppressed: bool,
    now: int,
) -> dict[str, Any]:
    """The verdict of a record that was learnt from, or that held no evidence."""
    active = profile.record if isinstance(profile, Active) else None
    seen = profile.ring.seen if isinstance(profile, Learning) else 0
    learned = None if active is None else active.learned
    return {
        "verdict_id": verdict_id(record),
        "profile_id": decoded.profile_id,
        "kind": decoded.kind,
        "status": status,
        "anomaly": False,
        "score": None,
        "decision": None,
        "p_value": None,
        "severity": "none",
        "model_version": None if active is None else active.version,
        "generation": generation,
        "samples_seen": seen if learned is None else learned,
        "samples_needed": needed if learned is None else learned,
        "reasons": [],
        "rule_severity": decoded.rule_severity,
        "suppressed": suppressed,
        "observed_at": decoded.observed_at,
        "scored_at": now,
    }


def scored(
    pending: Pending,
    active: Active,
    judgement: Judgement,
    model: Model,
    *,
    suppressed: bool,
    now: int,
) -> dict[str, Any]:
    """The verdict of a scored record."""
    announced = active.record
    worst = judgement.worst
    verdict: dict[str, Any] = {
        "verdict_id": verdict_id(pending.record),
        "profile_id": announced.profile_id,
        "kind": announced.kind,
        "status": "scored",
        "anomaly": judgement.anomaly,
        "score": judgement.unit[worst],
        "decision": judgement.decisions[worst],
        "p_value": judgement.p_values[worst],
        "severity": judgement.severity,
        "model_version": announced.version,
        "generation": announced.generation,
        "samples_seen": announced.learned,
        "samples_needed": announced.learned,
        "reasons": reasons(model, judgement.rows[worst]) if judgement.anomaly else [],
        "rule_severity": pending.decoded.rule_severity,
        "suppressed": suppressed,
        "observed_at": pending.decoded.observed_at,
        "scored_at": now,
    }
    if pending.rows.shape[0] > 1:
        places = [at for at, decision in enumerate(judgement.decisions) if decision < 0]
        verdict["samples"] = [
            {
                "index": int(judgement.indices[place]),
                "score": judgement.unit[place],
                "decision": judgement.decisions[place],
            }
            for place in places[:MAX_SAMPLE_VERDICTS]
        ]
        verdict["samples_omitted"] = max(0, len(places) - MAX_SAMPLE_VERDICTS)
    return verdict


def reasons(model: Model, row: Floats) -> list[dict[str, Any]]:
    """Why a sample is abnormal: its features by their share in it, the largest first."""
    shares = model.bench.contributions(row[np.newaxis])[0]
    typical = model.detector.typical_
    found = []
    for column in np.argsort(-shares, kind="stable")[:MAX_REASONS]:
        if not shares[column] > 0:
            break
        low, high = typical[:, column]
        found.append(
            {
                "feature": model.features[column],
                "value": float(row[column]),
                "typical": [float(low), float(high)],
                "contribution": float(shares[column]),
            }
        )
    return found


def verdict_record(record: Incoming, verdict: dict[str, Any], topic: str, now: int) -> Outgoing:
    """The record for ``anomalies``, on the partition of the telemetry."""
    headers = _headers(verdict["status"], verdict["severity"])
    if record.headers:
        headers += traceparent(record.headers)
    value = orjson.dumps(verdict, option=_JSON)
    return Outgoing(topic, record.partition, record.key, value, headers, now)


@cache
def _headers(status: str, severity: str) -> Headers:
    return (
        ("telltale.status", status.encode()),
        ("telltale.anomaly", b"false" if severity == "none" else b"true"),
        ("telltale.severity", severity.encode()),
    )


def accepted_record(pending: Pending, active: Active, judgement: Judgement, topic: str) -> Outgoing:
    """The record for ``accepted-normal``: what was judged normal, as vectors."""
    record = pending.record
    sample = {
        "profile_id": active.record.profile_id,
        "kind": active.record.kind,
        "generation": active.record.generation,
        "model_version": active.record.version,
        "features": active.record.features,
        "vectors": judgement.rows,
        "p_values": judgement.p_values,
        "since_anomaly": active.since_anomaly,
        "observed_at": pending.decoded.observed_at,
        "source": "scorer",
        "verdict_id": verdict_id(record),
    }
    value = orjson.dumps(sample, option=_JSON)
    return Outgoing(topic, record.partition, record.key, value, traceparent(record.headers))
