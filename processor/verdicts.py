"""Verdicts and accepted samples: from scores to the records that are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.artifacts import Model
from models.calibration import sample_budget
from models.detector import Detector
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


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the scores of one record's samples come to.

    Attributes:
        rows: the samples with evidence, shape (samples, features).
        indices: their places in the record.
        decisions: score less the threshold at the record's budget; below 0 is an anomaly.
        p_values: share of normal samples at least as abnormal.
        unit: score from 0 to 1, higher is more abnormal.
        worst: which of them is the most abnormal.
    """

    rows: Floats
    indices: NDArray[np.int64]
    decisions: Floats
    p_values: Floats
    unit: Floats
    worst: int
    severity: str

    @property
    def decision(self) -> float:
        return float(self.decisions[self.worst])

    @property
    def anomaly(self) -> bool:
        return self.decision < 0


class Judge:
    """Turns the scores of one model into judgements at the budget in force."""

    def __init__(self, detector: Detector, budget: float) -> None:
        self._detector = detector
        self._calibration = detector.calibration_
        self._budget = budget
        self._offsets: dict[int, float] = {}

    def judge(self, pending: Pending, scores: Floats) -> Judgement | None:
        """Judge a record by the scores of its samples, NaN without evidence; None if all are."""
        evident = ~np.isnan(scores)
        rows, indices = pending.rows, pending.indices
        if not evident.all():
            rows, indices, scores = rows[evident], indices[evident], scores[evident]
            if not scores.size:
                return None
        budget = sample_budget(self._budget, scores.size)
        if scores.size not in self._offsets:
            self._offsets[scores.size] = self._calibration.offset(budget)
        decisions = scores - self._offsets[scores.size]
        if scores.size == 1:
            p_values = np.array([self._calibration.p_value(float(scores[0]))])
        else:
            p_values = self._calibration.p_values(scores)
        worst = int(decisions.argmin())
        grade = severity(
            float(p_values[worst]), budget, float(decisions[worst]), self._calibration.spread
        )
        unit = self._detector.unit(scores)
        return Judgement(rows, indices, decisions, p_values, unit, worst, grade)


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
        "score": float(judgement.unit[worst]),
        "decision": judgement.decision,
        "p_value": float(judgement.p_values[worst]),
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
        places = np.flatnonzero(judgement.decisions < 0)
        verdict["samples"] = [
            {
                "index": int(judgement.indices[place]),
                "score": float(judgement.unit[place]),
                "decision": float(judgement.decisions[place]),
            }
            for place in places[:MAX_SAMPLE_VERDICTS]
        ]
        verdict["samples_omitted"] = max(0, int(places.size) - MAX_SAMPLE_VERDICTS)
    return verdict


def reasons(model: Model, row: Floats) -> list[dict[str, Any]]:
    """Why a sample is abnormal: its features by their share in it, the largest first."""
    shares = model.detector.contributions(row[np.newaxis])[0]
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
    headers: Headers = (
        ("telltale.status", verdict["status"].encode()),
        ("telltale.anomaly", b"true" if verdict["anomaly"] else b"false"),
        ("telltale.severity", verdict["severity"].encode()),
        *traceparent(record.headers),
    )
    value = orjson.dumps(verdict, option=_JSON)
    return Outgoing(topic, record.partition, record.key, value, headers, now)


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
