"""``telltale profile accept``: a false alarm becomes a sample of normal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors.forecast.detector import Forecast
from models.errors import ArtifactError
from models.features import KINDS, Mismatch, align
from models.learning.preview import spared
from processor.artifacts.storage import storage
from processor.kafka.reading import ToolError, record_at, records_at
from processor.kafka.sending import send_records
from processor.operations import profile_state
from processor.records import ConsumerRecord, DeadLetter, Partition, ProducerRecord, ProfileKey
from processor.scorer.decode import Decoded, decode
from processor.scorer.verdicts import verdict_id
from processor.settings import Limits, Settings
from processor.topics import Topics
from processor.trace_context import traceparent
from schemas import AcceptedSample, ModelRecord

Floats = NDArray[np.float64]


SPARED_OF = 100
"""Latest alarms of a profile that are scored again with the accepted samples learnt."""


@dataclass(frozen=True)
class Acceptance:
    """What was accepted of a profile, and what it will spare.

    Attributes:
        samples: what was written.
        alarms: how many of the profile's last alarms were scored again; 0 if that cannot be done.
        spared: how many of them a model that has also learnt the samples would not raise.
    """

    samples: Sequence[AcceptedSample]
    alarms: int = 0
    spared: int = 0


def accept(settings: Settings, name: str) -> Acceptance:
    """Write the telemetry of a verdict to the accepted samples, as an analyst's.

    Raises:
        ToolError: no such record, no model yet, or the record does not fit the profile.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    place, offset = parse_verdict_id(name, topics)
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
    alarms = profile_state.last_alarms(settings, topics, key)
    offsets = [alarm.offset for alarm in alarms if since <= alarm.observed_at <= until]
    if not offsets:
        raise ToolError(f"{profile_id!r}: no alarm of kind {key[1]} was observed in that time")
    place = (topics.telemetry(key[1]), key[0])
    return accept_records(settings, topics, records_at(settings, place, offsets), alarms)


def accept_records(
    settings: Settings,
    topics: Topics,
    records: Sequence[ConsumerRecord],
    alarms: Sequence[profile_state.Alarm] | None = None,
) -> Acceptance:
    """Write telemetry records of one profile to the accepted samples.

    Args:
        alarms: of the profile, where they were read already.

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
            raise ToolError(
                f"{verdict_id(record)}: a dead letter, {decoded.reason}: {decoded.detail}"
            )
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
        if alarms is None:
            key = (records[0].partition, kind, model.profile_id)
            alarms = profile_state.last_alarms(settings, topics, key)
        shown = rows_of_alarms(settings, records[0], alarms[-SPARED_OF:], model, limits)
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
    """The accepted sample of a record, with source ``analyst``, and its rows.

    Raises:
        ToolError: the record does not fit the profile.
    """
    name = verdict_id(record)
    if record.offset < model.generation:
        raise ToolError(
            f"{name}: older than what {decoded.profile_id!r} learns from, which begins "
            f"at offset {model.generation}"
        )
    rows, times = rows_of(decoded, model, name)
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
        verdict_id=name,
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


def rows_of_alarms(
    settings: Settings,
    near: ConsumerRecord,
    alarms: Sequence[profile_state.Alarm],
    model: ModelRecord,
    limits: Limits,
) -> list[Floats]:
    """The samples of alarms whose records are still in a record's partition and fit the model."""
    found = []
    offsets = [alarm.offset for alarm in alarms]
    for record in records_at(settings, (near.topic, near.partition), offsets):
        decoded = decode(record, model.kind, limits)
        if not isinstance(decoded, DeadLetter):
            with suppress(ToolError):
                found.append(rows_of(decoded, model, "")[0])
    return found


def parse_verdict_id(name: str, topics: Topics) -> tuple[Partition, int]:
    """Topic, partition and offset of ``<topic>-<partition>-<offset>``.

    Raises:
        ToolError: of another form, or the topic is not one of telemetry.
    """
    match = re.fullmatch(r"(.+)-(\d{1,9})-(\d{1,18})", name)
    if match is None or match[1] not in topics.kinds():
        known = ", ".join(topics.kinds())
        raise ToolError(f"{name!r}: expected <topic>-<partition>-<offset> with a topic of {known}")
    return (match[1], int(match[2])), int(match[3])


def rows_of(decoded: Decoded, model: ModelRecord, name: str) -> tuple[Floats, Floats | None]:
    """Samples with evidence in the columns of the profile, shape (n, features), and their times.

    Raises:
        ToolError: the record does not fit, or holds no evidence.
    """
    fitted = align(decoded.extracted, tuple(model.features))
    if isinstance(fitted, Mismatch):
        raise ToolError(f"{name}: {fitted.detail}")
    rows = fitted.rows
    evident = ~np.isnan(rows).all(axis=1)
    if not evident.any():
        raise ToolError(f"{name}: the record holds no evidence to learn from")
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
    why = send_records(
        settings,
        (
            ProducerRecord(
                topic,
                sample.model_dump_json().encode(),
                record.key,
                record.partition,
                headers=list(traceparent(record.headers)),
            )
            for record, sample in accepted
        ),
    )
    if why:
        raise ToolError(f"{topic}: not written: {why}")
