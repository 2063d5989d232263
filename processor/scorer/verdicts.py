"""Verdicts and accepted samples: from scores to the records that are written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from models.artifacts import Model
from models.explanation.reasons import MAX_REASONS, Reasons, reasons
from processor.columnar.verdict_writer import LATE
from processor.records import ConsumerRecord, HeaderList, ProducerRecord
from processor.scorer.decode import Decoded
from processor.scorer.step_builder import AwaitingScore, StepBuilder
from processor.state.profiles import ActiveProfile, LearningProfile, Profile
from processor.trace_context import source_of, traceparent
from schemas import ModelRecord

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
        drift_p: p-value by which drift is followed, of detectors whose p-values follow the recent
            ones: these never show drift. None: the p-values do.
        explained: reasons of an anomaly, if they are known already.
    """

    rows: Floats
    indices: NDArray[np.int64]
    decisions: list[float]
    p_values: list[float]
    unit: list[float]
    worst: int
    severity: str
    anomaly: bool
    drift_p: float | None = None
    explained: Reasons | None = None


def verdict_id(record: ConsumerRecord) -> str:
    """The key by which duplicates are told."""
    return f"{record.topic}-{record.partition}-{record.offset}"


def scored(
    item: AwaitingScore,
    judgement: Judgement,
    model: Model,
    *,
    suppressed: bool,
    regime: str,
    late_before: int,
    now: int,
) -> dict[str, Any]:
    """The verdict of a scored record.

    Args:
        late_before: records observed before are history, epoch milliseconds.
    """
    worst = judgement.worst
    verdict = scored_fields(
        item.active.record,
        verdict_id=verdict_id(item.record),
        anomaly=judgement.anomaly,
        score=judgement.unit[worst],
        decision=judgement.decisions[worst],
        p_value=judgement.p_values[worst],
        severity=judgement.severity,
        reasons=reasons_of(model, judgement),
        rule_severity=item.decoded.rule_severity,
        suppressed=suppressed,
        regime=regime,
        late=item.decoded.observed_at < late_before,
        source=source_of(item.record.headers) if item.record.headers else None,
        observed_at=item.decoded.observed_at,
        now=now,
    )
    if item.rows.shape[0] > 1:
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


def scored_fields(
    announced: ModelRecord,
    *,
    verdict_id: Any,
    anomaly: bool,
    score: Any,
    decision: Any,
    p_value: Any,
    severity: str,
    reasons: list[dict[str, Any]],
    rule_severity: str | None,
    suppressed: bool,
    regime: str,
    late: Any,
    source: Any,
    observed_at: Any,
    now: int,
) -> dict[str, Any]:
    """The fields of a scored verdict in their order."""
    return {
        "verdict_id": verdict_id,
        "profile_id": announced.profile_id,
        "kind": announced.kind,
        "status": "scored",
        "anomaly": anomaly,
        "score": score,
        "decision": decision,
        "p_value": p_value,
        "severity": severity,
        "model_version": announced.version,
        "generation": announced.generation,
        "samples_seen": announced.learned,
        "samples_needed": announced.learned,
        "reasons": reasons,
        "rule_severity": rule_severity,
        "suppressed": suppressed,
        "regime": regime,
        "late": late,
        "source": source,
        "observed_at": observed_at,
        "scored_at": now,
    }


def reasons_of(model: Model, judgement: Judgement) -> Reasons:
    """Why a record is abnormal; empty if it is not."""
    if not judgement.anomaly:
        return []
    if judgement.explained is not None:
        return judgement.explained[:MAX_REASONS]
    return reasons([model], judgement.rows[[judgement.worst]])[0]


def verdict_record(
    record: ConsumerRecord, verdict: dict[str, Any], topic: str, now: int
) -> ProducerRecord:
    """The record for ``anomalies``, on the partition of the telemetry."""
    headers = verdict_headers(verdict["status"], verdict["severity"])
    if verdict["late"]:
        headers = [*headers, LATE]
    if record.headers:
        headers = [*headers, *traceparent(record.headers)]
    value = orjson.dumps(verdict, option=_JSON)
    return ProducerRecord(
        topic, value, record.key, record.partition, timestamp=now, headers=headers
    )


@cache
def verdict_headers(status: str, severity: str) -> HeaderList:
    return [
        ("telltale.status", status.encode()),
        ("telltale.anomaly", b"false" if severity == "none" else b"true"),
        ("telltale.severity", severity.encode()),
    ]


def accepted_record(
    item: AwaitingScore, since_anomaly: int | None, judgement: Judgement, topic: str
) -> ProducerRecord:
    """The record for ``accepted-normal``: what was judged normal, as vectors."""
    record = item.record
    sample = accepted_fields(
        item.active.record,
        vectors=judgement.rows,
        p_values=judgement.p_values,
        since_anomaly=since_anomaly,
        observed_at=item.decoded.observed_at,
        verdict_id=verdict_id(record),
    )
    times = item.decoded.extracted.times
    if times is not None:
        sample |= timed_fields(times[judgement.indices])
    value = orjson.dumps(sample, option=_JSON)
    return ProducerRecord(
        topic,
        value,
        record.key,
        record.partition,
        headers=(list(traceparent(record.headers)) or None) if record.headers else None,
    )


def accepted_fields(
    announced: ModelRecord,
    *,
    vectors: Any,
    p_values: Any,
    since_anomaly: Any,
    observed_at: Any,
    verdict_id: Any,
) -> dict[str, Any]:
    """The fields of an accepted sample in their order."""
    return {
        "profile_id": announced.profile_id,
        "kind": announced.kind,
        "generation": announced.generation,
        "model_version": announced.version,
        "features": announced.features,
        "vectors": vectors,
        "p_values": p_values,
        "since_anomaly": since_anomaly,
        "observed_at": observed_at,
        "source": "scorer",
        "verdict_id": verdict_id,
    }


def timed_fields(times: Any) -> dict[str, Any]:
    """The further fields of an accepted sample of a kind whose samples have times."""
    return {"times": times}


def unscored(
    builder: StepBuilder,
    record: ConsumerRecord,
    value: Decoded,
    status: str,
    profile: Profile | None,
) -> list[ProducerRecord]:
    """The verdict of a record that was learnt from, or that holds no evidence."""
    key = (record.partition, value.kind, value.profile_id)
    active = profile.record if isinstance(profile, ActiveProfile) else None
    seen = profile.ring.seen if isinstance(profile, LearningProfile) else 0
    needed = builder.context.settings.cold_start(value.kind)
    learned = None if active is None else active.learned
    said = {
        "verdict_id": verdict_id(record),
        "profile_id": value.profile_id,
        "kind": value.kind,
        "status": status,
        "anomaly": False,
        "score": None,
        "decision": None,
        "p_value": None,
        "severity": "none",
        "model_version": None if active is None else active.version,
        "generation": builder.generation(key),
        "samples_seen": seen if learned is None else learned,
        "samples_needed": needed if learned is None else learned,
        "reasons": [],
        "rule_severity": value.rule_severity,
        "suppressed": builder.suppressed(key),
        "regime": None if active is None else builder.regime(key),
        "late": value.observed_at < builder.late_before,
        "source": source_of(record.headers) if record.headers else None,
        "observed_at": value.observed_at,
        "scored_at": builder.now,
    }
    builder.count_verdict(record, value.kind, status, "none")
    return [verdict_record(record, said, builder.context.topics.anomalies, builder.now)]
