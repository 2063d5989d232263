"""Cold start: samples join the ring of a profile, and a full ring trains version 1."""

from __future__ import annotations

from dataclasses import replace

import orjson

from models import artifacts
from models.detectors import detector_of
from models.features import KINDS, frequent
from models.learning.data_quality import constant_features, growing_features
from models.learning.training import seed_of, train
from processor.records import ConsumerRecord, DeadLetter, ProducerRecord, ProfileKey
from processor.scorer.decode import Decoded
from processor.scorer.judgement import SAFE_BYTES
from processor.scorer.step_builder import Floats, StepBuilder
from processor.scorer.verdicts import unscored
from processor.state import ring
from processor.state.profiles import LearningProfile
from processor.state.ring import Ring
from processor.topics import OUTPUT_LIMIT
from schemas import ModelRecord


def learn(
    builder: StepBuilder,
    record: ConsumerRecord,
    value: Decoded,
    key: ProfileKey,
    names: tuple[str, ...],
    rows: Floats,
    times: Floats | None = None,
) -> list[ProducerRecord] | None:
    """Append a record's samples to its profile's ring, and train if they complete it.

    Its answer; None if its partition has to wait for the next Step, as no more trainings fit here.
    """
    profile = builder.profile(key)
    known = profile.ring.names if isinstance(profile, LearningProfile) else ()
    if len(names) > len(known) and len(orjson.dumps(names)) > SAFE_BYTES:
        why = DeadLetter("unanswerable", "values: the names do not fit a model's record")
        return builder.dead_letter(record, why)
    before = (
        profile
        if isinstance(profile, LearningProfile)
        else LearningProfile(Ring(record.offset, names))
    )
    needed = builder.context.settings.cold_start(value.kind)
    grown, place, slot = ring.append_sample(
        before.ring, record.offset, rows, capacity=needed, names=names, times=times
    )
    after = replace(before, ring=grown)
    complete = grown.seen >= max(needed, before.retry_at)
    if complete and key not in builder.refused:
        samples = min(grown.held, trained_at_most(needed))
        if not builder.may_train((record.topic, record.partition), samples):
            return None
        first_version(builder, key, before.ring, grown)
    else:
        if complete:
            after = replace(after, retry_at=grown.seen + max(1, needed // 10))
            report_write_failure(builder, key, grown.generation, after.retry_at)
        stored = ring.changelog(builder.context.topics.cold_start, key, place, slot)
        if stored.size > OUTPUT_LIMIT:
            why = DeadLetter("unanswerable", "value: its samples do not fit their topic")
            return builder.dead_letter(record, why)
        builder.emit(stored)
        builder.delta.profiles[key] = after
    builder.delta.touched_profiles.add(key)
    return unscored(builder, record, value, "learning", after)


TRAINED_FACTOR, TRAINED_LEAST = 5, 1000
"""Version 1 is trained on so many times the kind's cold start at most, or on so many samples."""


CONSTANT_NAMED, MAX_NAME = 20, 100
"""Constant features that are named, and of each name so much; of more there is the number."""


def trained_at_most(cold_start: int) -> int:
    """Samples that version 1 is trained on at most, the latest: a record may bring thousands."""
    return max(TRAINED_FACTOR * cold_start, TRAINED_LEAST)


def train_now(builder: StepBuilder, key: ProfileKey, command_id: str) -> str | None:
    """End a profile's learning with the samples that are there.

    Returns:
        Why that cannot be done; None if it is done.
    """
    profile, least = builder.profile(key), builder.context.settings.min_training_data_points
    if not isinstance(profile, LearningProfile):
        return "the profile does not learn: it has a model"
    if profile.ring.held < least:
        return f"{profile.ring.held} samples are too few, {least} are needed"
    if key in builder.refused:
        return "the artefact could not be written"
    first_version(builder, key, profile.ring, profile.ring, command_id)
    return None


def first_version(
    builder: StepBuilder,
    key: ProfileKey,
    stored: Ring,
    complete: Ring,
    command_id: str | None = None,
) -> None:
    """Train version 1 there and then; the profile's next record is scored with it.

    Args:
        stored: the ring before the record that completed the learning: its slots are cleared.
        complete: the ring with it.
        command_id: the command that ended the learning; None if a record did.
    """
    trigger = "cold-start" if command_id is None else "command"
    partition, kind, profile_id = key
    settings = builder.context.settings
    held, names = complete.samples(), complete.names
    if KINDS[kind].features is None and len(columns := frequent(held)) < len(names):
        held, names = held[:, columns], tuple(names[column] for column in columns)
    samples = held[-trained_at_most(settings.cold_start(kind)) :]
    left_out = len(held) - len(samples)
    times = complete.times()
    name = detector_of(settings.detector_for(kind, KINDS[kind].detector), len(samples))
    model = train(
        name,
        samples,
        names,
        alert_budget=settings.alert_budget,
        seed=seed_of(settings.seed, kind, profile_id, complete.generation, 1),
        times=None if times is None else times[left_out:],
        provenance={
            "trigger": trigger,
            "cold_start": int(samples.shape[0]),
            "pool": 0,
            "left_out": left_out,
        },
    )
    artifact = artifacts.pack(
        model,
        kind=kind,
        profile_id=profile_id,
        partition=partition,
        generation=complete.generation,
    )
    announced = ModelRecord(
        profile_id=profile_id,
        kind=kind,
        partition=partition,
        generation=complete.generation,
        version=1,
        detector=name,
        artifact=artifact.path,
        sha256=artifact.sha256,
        features=list(names),
        trained_on=int(samples.shape[0]),
        learned=int(samples.shape[0]),
        pool_count=0,
        alert_budget=settings.alert_budget,
        decision_offset=float(model.detector.offset_),
        trigger=trigger,
        trained_at=builder.now,
        source_offset=max(slot.offset for slot in complete.slots.values()),
        provenance=dict(model.provenance),
    )
    builder.step.artifacts.append((key, artifact))
    builder.step.models[artifact.sha256] = builder.models[artifact.sha256] = model
    builder.announce(key, announced)
    builder.emit(*ring.tombstones(builder.context.topics.cold_start, key, stored))
    builder.count("trainings", kind, trigger, "trained")
    constant = constant_features(samples, names)
    builder.count("constant_features", kind, by=len(constant))
    builder.emit_lifecycle(
        key,
        "trained",
        f"version 1, {name}, on {'the latest ' if left_out else ''}{samples.shape[0]} samples",
        generation=complete.generation,
        version=1,
        command_id=command_id,
        figures={
            "samples": int(samples.shape[0]),
            "left_out": left_out,
            "features": len(names),
            "left_out_features": len(complete.names) - len(names),
            "constant_features": len(constant),
            "constant": [feature[:MAX_NAME] for feature in constant[:CONSTANT_NAMED]],
        },
    )
    report_counters(builder, key, complete.generation, growing_features(samples, names))


def report_counters(
    builder: StepBuilder, key: ProfileKey, generation: int, counters: list[str]
) -> None:
    """Say once which features only grow: of such a total every later value is new."""
    if not counters:
        return
    shown = [feature[:MAX_NAME] for feature in counters[:CONSTANT_NAMED]]
    builder.emit_lifecycle(
        key,
        "looks_like_counter",
        f"{', '.join(shown)}: only grew while the profile learnt, so every later value is an "
        "anomaly; send its rate of change instead (ingest: rate), and forget the profile",
        generation=generation,
        version=1,
        figures={"features": shown, "counters": len(counters)},
    )


def report_write_failure(
    builder: StepBuilder, key: ProfileKey, generation: int, retry_at: int
) -> None:
    """Say that training was refused because its artefact could not be written."""
    builder.count("trainings", key[1], "cold-start", "failed")
    builder.emit_lifecycle(
        key,
        "training_failed",
        f"the artefact could not be written; tried again from {retry_at} samples on",
        generation=generation,
        version=1,
    )
