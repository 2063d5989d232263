"""The way of a batch through the retrainer: accepted samples → pools → candidates.

Pure but for opening models and reading on in ``models``: the same state, batch, clock and settings
give the same Step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from pydantic import ValidationError

from models.detectors import SEQUENTIAL
from models.features import KINDS
from models.learning.admission import ADMITTED, DEFAULT, UNGUARDED, admitted, draw
from processor.records import (
    INVALID_HEADERS,
    UNREADABLE_HEADERS,
    ConsumerRecord,
    DeadLetter,
    ProducerRecord,
    ProfileKey,
    profile_id,
)
from processor.retrainer import pool as pools
from processor.retrainer.candidates import train_if_due, train_pending
from processor.retrainer.marks import apply_mark
from processor.retrainer.pool import Pool, PoolDelta
from processor.retrainer.step_builder import RetrainerState, RetrainerStepBuilder, reject
from processor.state import ring
from processor.state.ring import Ring
from processor.stream.step import Context, Step
from processor.topics import OUTPUT_LIMIT
from schemas import AcceptedSample, InvalidJson, Mark, explain, parse_object
from schemas.base import id_fault

INVALID = "invalid_accepted_sample"


def compute(
    known: RetrainerState,
    batch: Sequence[ConsumerRecord],
    now: int,
    context: Context,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[PoolDelta]:
    """The Step of a batch of ``accepted-normal``.

    Args:
        known: what is known before the batch; it is not changed.
        now: epoch milliseconds.
        refused: profiles whose artefact could not be written.
    """
    builder = RetrainerStepBuilder(known, context, now, refused)
    for position, record in enumerate(batch):
        if builder.full:
            builder.step.unprocessed = batch[position:]
            break
        builder.step.consume(record)
        value = decode_accepted(record)
        if isinstance(value, DeadLetter):
            reject(builder, record, value)
        elif isinstance(value, Mark):
            apply_mark(builder, record, value)
        else:
            accept_sample(builder, record, value)
    return finish(builder)


def compute_due(
    known: RetrainerState,
    due: Iterable[ProfileKey],
    now: int,
    context: Context,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[PoolDelta]:
    """The Step of restored profiles: settings, or the clock, may be others than before."""
    builder = RetrainerStepBuilder(known, context, now, refused)
    for key in due:
        if not builder.full:
            train_if_due(builder, key)
    return finish(builder)


def finish(builder: RetrainerStepBuilder) -> Step[PoolDelta]:
    """The Step, with its trainings done and the counters of each pool that it changed."""
    train_pending(builder)
    topic = builder.context.topics.pool
    for key, pool in builder.step.delta.items():
        if pool is not None:
            builder.step.outputs.append(pools.head(topic, key, pool))
    return builder.step


def decode_accepted(record: ConsumerRecord) -> AcceptedSample | Mark | DeadLetter:
    """Check a record of ``accepted-normal``; never raises."""
    if record.headers is UNREADABLE_HEADERS:
        return INVALID_HEADERS
    identity = profile_id(record.key)
    if isinstance(identity, DeadLetter):
        return DeadLetter(INVALID, identity.detail)
    try:
        parsed = parse_object(record.value or b"")
        value: AcceptedSample | Mark = (
            Mark.model_validate(parsed)
            if "mark" in parsed
            else AcceptedSample.model_validate(parsed)
        )
    except InvalidJson as error:
        return DeadLetter(INVALID, f"value: {error}")
    except ValidationError as error:
        return DeadLetter(INVALID, explain(error))
    if value.profile_id != identity:
        return DeadLetter(INVALID, "profile_id: expected the record's key")
    if value.kind not in KINDS:
        return DeadLetter(INVALID, f"kind: expected one of {', '.join(KINDS)}")
    if not 0 <= value.generation < 2**63:
        return DeadLetter(INVALID, "generation: expected the offset of a record")
    if isinstance(value, Mark):
        fault = None if value.command_id is None else id_fault(value.command_id)
        return value if fault is None else DeadLetter(INVALID, f"command_id: {fault}")
    if not (value.vectors and value.features):
        return DeadLetter(INVALID, "vectors: expected at least one row of at least one feature")
    return value


def accept_sample(
    builder: RetrainerStepBuilder, record: ConsumerRecord, sample: AcceptedSample
) -> None:
    """Count an accepted record, pool it if it is admitted, and train if that is due."""
    key = (record.partition, sample.kind, sample.profile_id)
    pool, names = builder.pool(key), tuple(sample.features)
    base = builder.announced(key, sample.generation)
    if base is None or sample.generation < base.generation:
        builder.step.count("records", sample.kind, "outdated")
        return
    if sample.generation > base.generation:
        detail = f"generation: {sample.generation}, but models announces {base.generation}"
        reject(builder, record, DeadLetter("unknown_generation", detail))
        return
    expected = tuple(base.features)
    if names != expected and (sample.model_version or 0) < (base.version or 0):
        builder.step.count("records", sample.kind, "outdated")
        return
    if names != expected:
        reject(builder, record, mismatch(names, len(expected)))
        return
    if len(names) > builder.context.settings.max_features:
        reject(builder, record, DeadLetter("too_large", f"features: {len(names)} are too many"))
        return
    cleared: list[ProducerRecord] = []
    if pool is None or pool.generation != sample.generation:
        if pool is not None:
            cleared = pools.pool_tombstones(builder.context.topics.pool, key, pool)
        pool = Pool(Ring(sample.generation, names))
    elif pool.ring.names != names:
        # Nothing was admitted so far, or what was turned out not to fit the model.
        cleared = ring.tombstones(builder.context.topics.pool, key, pool.ring)
        pool = replace(pool, ring=Ring(sample.generation, names), vouched=())
    rows = np.array(sample.vectors, dtype=np.float64)
    stored: list[ProducerRecord] = []
    held, vouched = pool.ring, pool.vouched
    why = admission(builder, sample, base.detector)
    if why in ADMITTED:
        capacity = builder.context.settings.pool_samples
        times = np.array(sample.times, dtype=np.float64) if sample.times else None
        held, place, slot = ring.append_sample(
            pool.ring, record.offset, rows, capacity=capacity, times=times
        )
        stored = [ring.changelog(builder.context.topics.pool, key, place, slot)]
        if stored[0].size > OUTPUT_LIMIT:
            detail = "the samples do not fit the pool's topic"
            reject(builder, record, DeadLetter("unanswerable", detail))
            return
        if why == "analyst":
            vouched = pool.with_vouched(held, record.offset)
    builder.step.outputs += [*cleared, *stored]
    accepted = pool.accepted + rows.shape[0]
    alarmed = pool.alarmed + (sample.since_anomaly == 1)
    builder.step.delta[key] = replace(
        pool, ring=held, accepted=accepted, offset=record.offset, vouched=vouched, alarmed=alarmed
    )
    builder.step.count("records", sample.kind, why)
    train_if_due(builder, key)


def mismatch(names: Sequence[str], expected: int) -> DeadLetter:
    """Why other names than the profile's are not taken."""
    for at, name in enumerate(names):
        fault = id_fault(name)
        if fault is not None:
            return DeadLetter(INVALID, f"features[{at}]: {fault}")
    return DeadLetter(
        "feature_mismatch", f"features: expected the profile's {expected} in their order"
    )


def admission(builder: RetrainerStepBuilder, sample: AcceptedSample, detector: str | None) -> str:
    """Whether a sample is learnt from: the word of ``models.learning.admission.admitted``.

    Args:
        detector: name of the one in force.
    """
    known = [p for p in sample.p_values if p is not None]
    settings = builder.context.settings
    adopts = settings.on_shift_for(sample.kind, KINDS[sample.kind].on_shift) == "adopt"
    rules = UNGUARDED if adopts else DEFAULT
    if detector in SEQUENTIAL:
        # Points left out of a sequence would be steps that the metric never took.
        rules = replace(rules, borderline_share=1.0, guard=0)
    return admitted(
        min(known, default=None),
        sample.since_anomaly,
        sample.source,
        draw(settings.seed, sample.verdict_id),
        rules,
    )
