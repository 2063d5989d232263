"""``telltale profile accept``: a false alarm becomes a sample of normal."""

from __future__ import annotations

import re
from time import monotonic

import numpy as np
from confluent_kafka import KafkaError, Producer, TopicPartition
from numpy.typing import NDArray

from models.errors import ArtifactError
from models.features import KINDS, Mismatch, align
from processor.artifacts.storage import storage
from processor.kafka import config as kafka
from processor.kafka.consuming import earliest_offsets, latest_offsets
from processor.kafka.reading import (
    SILENCE_SECONDS,
    ToolError,
    admin_client,
    places_of,
    poll,
    reader,
)
from processor.operations import profile_state
from processor.operations.produce import FLUSH_SECONDS
from processor.records import ConsumerRecord, DeadLetter, Partition
from processor.scorer.decode import Decoded, decode
from processor.settings import Limits, Settings
from processor.topics import Topics
from processor.trace_context import traceparent
from schemas import AcceptedSample, ModelRecord

Floats = NDArray[np.float64]


def accept(settings: Settings, verdict_id: str) -> AcceptedSample:
    """Write the telemetry of a verdict to the accepted samples, as an analyst's.

    Raises:
        ToolError: no such record, no model yet, or the record does not fit the profile.
        KafkaException: the broker did not answer.
    """
    topics = Topics(settings.topic_prefix)
    place, offset = parse_verdict_id(verdict_id, topics)
    kind = topics.kinds()[place[0]]
    record = telemetry_at(settings, place, offset)
    limits = Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
    decoded = decode(record, kind, limits)
    if isinstance(decoded, DeadLetter):
        raise ToolError(f"{verdict_id}: a dead letter, {decoded.reason}: {decoded.detail}")
    found = profile_state.search(settings, topics, decoded.profile_id, (kind,))
    model = found.models.get((record.partition, kind, decoded.profile_id))
    if model is None:
        raise ToolError(f"{decoded.profile_id!r} has no model of kind {kind} yet: it is learning")
    if offset < model.generation:
        raise ToolError(
            f"{verdict_id}: older than what {decoded.profile_id!r} learns from, which begins at "
            f"offset {model.generation}"
        )
    rows = rows_of(decoded, model, verdict_id)
    sample = AcceptedSample(
        profile_id=decoded.profile_id,
        kind=kind,
        generation=model.generation,
        model_version=model.version,
        features=model.features,
        vectors=[[None if np.isnan(v) else v for v in row] for row in rows.tolist()],
        p_values=p_values_of(settings, model, rows),
        since_anomaly=None,
        observed_at=decoded.observed_at,
        source="analyst",
        verdict_id=verdict_id,
    )
    write_accepted(settings, topics.accepted, record, sample)
    return sample


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


def telemetry_at(settings: Settings, place: Partition, offset: int) -> ConsumerRecord:
    """The record of that offset.

    Raises:
        ToolError: there is none, or no longer.
    """
    topic, number = place
    told = f"{topic} [{number}] offset {offset}"
    admin = admin_client(settings)
    held = [p for p in places_of(admin, [topic]) if p.partition == number]
    if not held:
        raise ToolError(f"{told}: the topic has no such partition")
    asked = [TopicPartition(topic, number)]
    first, end = earliest_offsets(admin, asked)[place], latest_offsets(admin, asked)[place]
    if not first <= offset < end:
        raise ToolError(f"{told}: the partition holds {first} to {end - 1}; it may have aged out")
    consumer = reader(settings, {place: offset})
    deadline = monotonic() + SILENCE_SECONDS
    try:
        while monotonic() < deadline:
            records, at_end = poll(consumer, 1, 0.2)
            if records and records[0].offset == offset:
                return records[0]
            if records or at_end:
                raise ToolError(f"{told}: no record there")
    finally:
        consumer.close()
    raise ToolError(f"{told}: no answer for {SILENCE_SECONDS:.0f} s")


def rows_of(decoded: Decoded, model: ModelRecord, verdict_id: str) -> Floats:
    """The samples with evidence, in the columns of the profile, shape (n, features).

    Raises:
        ToolError: the record does not fit, or holds no evidence.
    """
    rows = decoded.extracted.rows
    if KINDS[decoded.kind].features is None:
        fitted = align(decoded.extracted, tuple(model.features))
        if isinstance(fitted, Mismatch):
            raise ToolError(f"{verdict_id}: {fitted.detail}")
        rows = fitted.rows
    usable: Floats = rows[~np.isnan(rows).all(axis=1)]
    if not usable.size:
        raise ToolError(f"{verdict_id}: the record holds no evidence to learn from")
    return usable


def p_values_of(settings: Settings, model: ModelRecord, rows: Floats) -> list[float | None]:
    """What the current model says of the samples; nothing where its artefact is not at hand."""
    try:
        opened = storage(settings).read(model.artifact, model.sha256)
    except ArtifactError:
        return []
    scores = opened.detector.score_samples(rows)
    known = opened.detector.calibration_.p_values(scores)
    return [None if np.isnan(score) else float(p) for score, p in zip(scores, known, strict=True)]


def write_accepted(
    settings: Settings, topic: str, record: ConsumerRecord, sample: AcceptedSample
) -> None:
    """Write an accepted sample on the partition of its telemetry.

    Raises:
        ToolError: the broker did not take it.
    """
    failed: list[str] = []

    def on_delivery(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error.str())

    producer = Producer(kafka.plain_producer(settings))
    producer.produce(
        topic,
        value=sample.model_dump_json().encode(),
        key=record.key,
        partition=record.partition,
        headers=list(traceparent(record.headers)),
        on_delivery=on_delivery,
    )
    if producer.flush(FLUSH_SECONDS) or failed:
        raise ToolError(f"{topic}: not written: {failed[0] if failed else 'no answer'}")
