"""``telltale profile accept``: a false alarm becomes a sample of normal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, Producer
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors.forecast.detector import Forecast
from models.errors import ArtifactError
from models.features import KINDS, Mismatch, align
from models.learning.preview import spared
from processor.artifacts.storage import storage
from processor.kafka import config as kafka
from processor.kafka.reading import ToolError, record_at, records_at
from processor.operations import profile_state, tail
from processor.operations.produce import FLUSH_SECONDS
from processor.records import ConsumerRecord, DeadLetter, Partition, ProfileKey
from processor.scorer.decode import Decoded, decode
from processor.settings import Limits, Settings
from processor.topics import Topics
from processor.trace_context import traceparent
from schemas import AcceptedSample, ModelRecord

Floats = NDArray[np.float64]


SPARED_OF = 100
"""Alarms of a profile, the last ones, that are judged again as if the accepted ones were learnt."""


@dataclass(frozen=True)
class Acceptance:
    """What was accepted of a profile, and what it will spare.

    Attributes:
        samples: what was written.
        alarms: so many of the profile's last alarms were judged again; 0 where that cannot be done.
        spared: so many of them are none for a model that has learnt the samples, too.
    """

    samples: Sequence[AcceptedSample]
    alarms: int = 0
    spared: int = 0


def accept(settings: Settings, verdict_id: str) -> Acceptance:
    """Write the telemetry of a verdict to the accepted samples, as an analyst's.

    Raises:
        ToolError: no such record, no model yet, or the record does not fit the profile.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    place, offset = parse_verdict_id(verdict_id, topics)
    return accept_records(settings, topics, [record_at(settings, place, offset)])


def accept_range(
    settings: Settings, profile_id: str, kind: str | None, since: int, until: int
) -> Acceptance:
    """The same of all alarms of a profile that were observed in a range of time.

    Args:
        kind: needed where the profile has several.
        since, until: epoch milliseconds, both included.

    Raises:
        ToolError: there is no such alarm, or as ``accept`` has it.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    kinds = tuple(KINDS) if kind is None else (kind,)
    keys = list(profile_state.search(settings, topics, profile_id, kinds).models)
    if len(keys) != 1:
        found = ", ".join(f"{of} in partition {number}" for number, of, _ in keys) or "none"
        raise ToolError(f"{profile_id!r}: expected one profile with a model, found {found}")
    (key,) = keys
    place = (topics.telemetry(key[1]), key[0])
    offsets = [
        int(verdict["verdict_id"].rpartition("-")[2])
        for verdict in alarms_of(settings, topics, key)
        if since <= verdict["observed_at"] <= until
    ]
    if not offsets:
        raise ToolError(f"{profile_id!r}: no alarm of kind {key[1]} was observed in that time")
    return accept_records(settings, topics, records_at(settings, place, offsets))


def accept_records(
    settings: Settings, topics: Topics, records: Sequence[ConsumerRecord]
) -> Acceptance:
    """Write telemetry records of one profile to the accepted samples.

    Raises:
        ToolError: no model yet, or a record does not fit the profile.
        KafkaException: the broker did not answer.
    """
    kind = topics.kinds()[records[0].topic]
    limits = Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
    samples: list[AcceptedSample] = []
    rows: list[Floats] = []
    model: ModelRecord | None = None
    opened: Model | None = None
    for record in records:
        decoded = decode(record, kind, limits)
        if isinstance(decoded, DeadLetter):
            place = f"{record.topic}-{record.partition}-{record.offset}"
            raise ToolError(f"{place}: a dead letter, {decoded.reason}: {decoded.detail}")
        if model is None:
            model = announced_model(settings, topics, (record.partition, kind, decoded.profile_id))
            opened = open_artifact(settings, model)
        sample, found = vouched_sample(record, decoded, model, opened)
        samples.append(sample)
        rows.append(found)
    write_accepted(settings, topics.accepted, list(zip(records, samples, strict=True)))
    if opened is None or model is None or isinstance(opened.detector, Forecast):
        # What a forecast says depends on the points before, which are not here.
        return Acceptance(samples)
    try:
        shown = last_alarms(settings, topics, model, records[0].partition, limits)
    except ToolError:
        # Who accepts need not be allowed to read verdicts.
        return Acceptance(samples)
    alike = spared(opened, np.concatenate(rows), shown, alert_budget=settings.alert_budget)
    return Acceptance(samples, len(shown), int(sum(alike)))


def accept_for(
    settings: Settings, record: ConsumerRecord, decoded: Decoded, model: ModelRecord
) -> AcceptedSample:
    """Write a record whose profile's model is known to the accepted samples, as an analyst's.

    Raises:
        ToolError: the record does not fit the profile, or the broker did not take the sample.
    """
    sample, _ = vouched_sample(record, decoded, model, open_artifact(settings, model))
    write_accepted(settings, Topics(settings.topic_prefix).accepted, [(record, sample)])
    return sample


def vouched_sample(
    record: ConsumerRecord, decoded: Decoded, model: ModelRecord, opened: Model | None
) -> tuple[AcceptedSample, Floats]:
    """The sample that an analyst's word makes of a record, and its rows.

    Raises:
        ToolError: the record does not fit the profile.
    """
    verdict_id = f"{record.topic}-{record.partition}-{record.offset}"
    if record.offset < model.generation:
        raise ToolError(
            f"{verdict_id}: older than what {decoded.profile_id!r} learns from, which begins "
            f"at offset {model.generation}"
        )
    rows, times = rows_of(decoded, model, verdict_id)
    sample = AcceptedSample(
        profile_id=decoded.profile_id,
        kind=decoded.kind,
        generation=model.generation,
        model_version=model.version,
        features=model.features,
        vectors=[[None if np.isnan(v) else v for v in row] for row in rows.tolist()],
        p_values=p_values_of(opened, rows),
        since_anomaly=None,
        observed_at=decoded.observed_at,
        source="analyst",
        verdict_id=verdict_id,
        times=[] if times is None else times.tolist(),
    )
    return sample, rows


def announced_model(settings: Settings, topics: Topics, key: ProfileKey) -> ModelRecord:
    """The model in force of a profile.

    Raises:
        ToolError: it has none yet.
    """
    _, kind, profile_id = key
    model = profile_state.search(settings, topics, profile_id, (kind,)).models.get(key)
    if model is None:
        raise ToolError(f"{profile_id!r} has no model of kind {kind} yet: it is learning")
    return model


def open_artifact(settings: Settings, model: ModelRecord) -> Model | None:
    """The artefact of a model; None where it is not at hand."""
    try:
        return storage(settings).read(model.artifact, model.sha256)
    except ArtifactError:
        return None


def alarms_of(settings: Settings, topics: Topics, key: ProfileKey) -> list[dict[str, Any]]:
    """The anomalies of a profile near the end of its partition, the oldest first."""
    partition, kind, profile_id = key
    recent = profile_state.last_verdicts(settings, topics, {partition}, profile_id)
    told = [said for record in recent if (said := tail.parsed(record)) is not None]
    return [
        said
        for said in told
        if said.get("kind") == kind and said.get("anomaly") and not said.get("suppressed")
    ]


def last_alarms(
    settings: Settings, topics: Topics, model: ModelRecord, partition: int, limits: Limits
) -> list[Floats]:
    """The samples of a profile's last alarms, those that are still there and fit its model."""
    kind = model.kind
    alarms = alarms_of(settings, topics, (partition, kind, model.profile_id))[-SPARED_OF:]
    offsets = [int(said["verdict_id"].rpartition("-")[2]) for said in alarms]
    found = []
    for record in records_at(settings, (topics.telemetry(kind), partition), offsets):
        decoded = decode(record, kind, limits)
        if not isinstance(decoded, DeadLetter):
            with suppress(ToolError):
                found.append(rows_of(decoded, model, "")[0])
    return found


def parse_verdict_id(verdict_id: str, topics: Topics) -> tuple[Partition, int]:
    """Topic, partition and offset of ``<topic>-<partition>-<offset>``.

    Raises:
        ToolError: of another form, or the topic is not one of telemetry.
    """
    match = re.fullmatch(r"(.+)-(\d{1,9})-(\d{1,18})", verdict_id)
    if match is None or match[1] not in topics.kinds():
        known = ", ".join(topics.kinds())
        raise ToolError(
            f"{verdict_id!r}: expected <topic>-<partition>-<offset> with a topic of {known}"
        )
    return (match[1], int(match[2])), int(match[3])


def rows_of(decoded: Decoded, model: ModelRecord, verdict_id: str) -> tuple[Floats, Floats | None]:
    """Samples with evidence in the columns of the profile, shape (n, features), and their times.

    Raises:
        ToolError: the record does not fit, or holds no evidence.
    """
    rows = decoded.extracted.rows
    if KINDS[decoded.kind].features is None:
        fitted = align(decoded.extracted, tuple(model.features))
        if isinstance(fitted, Mismatch):
            raise ToolError(f"{verdict_id}: {fitted.detail}")
        rows = fitted.rows
    evident = ~np.isnan(rows).all(axis=1)
    if not evident.any():
        raise ToolError(f"{verdict_id}: the record holds no evidence to learn from")
    times = decoded.extracted.times
    return rows[evident], None if times is None else times[evident]


def p_values_of(opened: Model | None, rows: Floats) -> list[float | None]:
    """What the current model says of the samples; nothing if its artefact is not at hand."""
    if opened is None:
        return []
    if isinstance(opened.detector, Forecast):
        # Its p-value depends on the points before, which are not here.
        return []
    scores = opened.detector.score_samples(rows)
    known = opened.detector.calibration_.p_values(scores)
    return [None if np.isnan(score) else float(p) for score, p in zip(scores, known, strict=True)]


def write_accepted(
    settings: Settings, topic: str, accepted: Sequence[tuple[ConsumerRecord, AcceptedSample]]
) -> None:
    """Write accepted samples on the partitions of their telemetry.

    Raises:
        ToolError: the broker did not take them all.
    """
    failed: list[str] = []

    def on_delivery(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error.str())

    producer = Producer(kafka.plain_producer(settings))
    for record, sample in accepted:
        producer.produce(
            topic,
            value=sample.model_dump_json().encode(),
            key=record.key,
            partition=record.partition,
            headers=list(traceparent(record.headers)),
            on_delivery=on_delivery,
        )
        producer.poll(0)
    if producer.flush(FLUSH_SECONDS) or failed:
        raise ToolError(f"{topic}: not written: {failed[0] if failed else 'no answer'}")
