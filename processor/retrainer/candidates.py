"""Candidates: when a profile is retrained, and how what the gate lets pass is proposed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from models import artifacts
from models.artifacts import GATE, Artifact, Model
from models.calibration.conformal import FEW
from models.errors import ArtifactError
from models.features import KINDS
from models.learning.candidate import Candidate
from models.learning.data_quality import constant_features
from models.learning.retraining import detector_name, retrain
from models.learning.training import seed_of
from models.naming import misnamed
from processor.records import ProducerRecord, ProfileKey
from processor.retrainer.step_builder import RetrainerStepBuilder, Training, emit_lifecycle
from processor.topics import OUTPUT_LIMIT
from schemas import ModelRecord

DAY_MS = 24 * 3600 * 1000


def trigger(builder: RetrainerStepBuilder, key: ProfileKey) -> str | None:
    """Why a profile is to be retrained now, or None."""
    pool, base = builder.pool(key), builder.known.announced.get(key)
    if pool is None or base is None or base.generation != pool.generation:
        return None
    if not pool.ring.slots or pool.ring.names != tuple(base.features):
        return None
    if pool.asked:
        return pool.asked
    settings = builder.context.settings
    fresh = pool.accepted - max(base.pool_count, pool.tried)
    needed = settings.retrain_samples
    if guessed(base):
        # Looked at again after as many samples as it was, and twice as many behind a refusal.
        needed = min(needed, max(evidence_of(base), 1) << min(pool.refused, 20))
    if fresh >= needed:
        return "samples"
    age = builder.now - max(base.trained_at, pool.tried_at)
    return "age" if fresh > 0 and age >= settings.retrain_days * DAY_MS else None


def guessed(base: ModelRecord) -> bool:
    """Whether a model learnt from a handful: nearly all of its samples were the same."""
    return evidence_of(base) < FEW < base.trained_on


def evidence_of(base: ModelRecord) -> int:
    """How many of a model's samples it learnt, those that were left out not counted."""
    told = base.provenance or {}
    return base.trained_on - sum(int(told.get(name, 0)) for name in ("repeated", "far_out"))


def train_if_due(builder: RetrainerStepBuilder, key: ProfileKey) -> None:
    """If a trigger fires, note a training; ``train_pending`` does it at the end of the Step."""
    why, pool = trigger(builder, key), builder.pool(key)
    if why is None or pool is None:
        return
    base = builder.known.announced[key]
    tried = replace(pool, asked=None, tried=pool.accepted, tried_at=builder.now)
    builder.step.delta[key] = tried
    current = opened_model(builder, key, base)
    if key in builder.refused or not isinstance(current, Model):
        reason = "the artefact could not be written" if key in builder.refused else str(current)
        fail(builder, key, base, why, reason)
        return
    builder.pending_trainings.append(Training(key, base, current, tried, why))


def opened_model(
    builder: RetrainerStepBuilder, key: ProfileKey, base: ModelRecord
) -> Model | ArtifactError:
    """The model in force, or why it is lost."""
    partition, kind, profile_id = key
    wrong = misnamed(
        base, kind=kind, profile_id=profile_id, partition=partition, generation=base.generation
    )
    if wrong is not None:
        return ArtifactError(wrong)
    return builder.context.open_models([base])[base.sha256]


def train_pending(builder: RetrainerStepBuilder) -> None:
    """Train and judge what was noted, on all cores, and propose what the gate lets pass.

    A profile that was cleared after its training was noted gets no candidate.
    """
    for training, (candidate, artifact, constant) in zip(
        builder.pending_trainings,
        builder.context.map(partial(trained, builder), builder.pending_trainings),
        strict=True,
    ):
        key, base, _, was, why = training
        pool = builder.pool(key)
        if pool is None or pool.generation != was.generation:
            continue
        if artifact is not None:
            builder.step.delta[key] = replace(pool, refused=0)
            propose(builder, training, candidate, artifact, constant)
            continue
        builder.step.delta[key] = replace(pool, refused=pool.refused + 1)
        builder.step.count("trainings", key[1], why, "refused")
        emit_lifecycle(
            builder,
            key,
            "refused",
            f"the gate refused a candidate of version {base.version}: {candidate.outcome.why}; "
            f"{pool.refused + 1} in a row",
            generation=base.generation,
            version=base.version,
            figures=dict(candidate.outcome.figures),
        )


def trained(
    builder: RetrainerStepBuilder, training: Training
) -> tuple[Candidate, Artifact | None, int]:
    """The candidate, judged, and packed if the gate lets it pass; its constant features.

    Safe in any thread.
    """
    key, base, current, pool, why = training
    partition, kind, profile_id = key
    settings = builder.context.settings
    cold = int(current.provenance["cold_start"])
    taught = int(current.provenance.get("vouched_offset", -1))
    pooled, vouched, times = pool.samples(settings.pool_samples, taught)
    version = (base.version or 0) + 1
    candidate = retrain(
        current,
        pooled,
        builder.known.gallery.strangers(key, pool.ring.names),
        policy=settings.retrain_policy,
        cold_start=cold,
        alert_budget=settings.alert_budget,
        seed=seed_of(settings.seed, kind, profile_id, base.generation, version),
        detector=settings.detector_for(kind, KINDS[kind].detector),
        times=times,
        provenance={
            "trigger": why,
            "cold_start": cold,
            "pool": int((~vouched).sum()),
            "base_version": base.version,
            "partition": partition,
            "pool_offset": pool.offset,
            **({"vouched_offset": max(taught, *pool.vouched)} if pool.vouched else {}),
        },
        vouched=vouched,
        # A move that a candidate was refused for and that lasts is a drift, too, however slight.
        follow_drift=settings.on_shift_for(kind, KINDS[kind].on_shift) == "adopt"
        and (
            why == "drift"
            or pool.refused > 0
            or current.provenance.get("followed_drift") is True
            or guessed(base)
        ),
        alarmed=(pool.alarmed, pool.accepted),
    )
    if not candidate.outcome.passed:
        return candidate, None, 0
    provenance = {**candidate.model.provenance, GATE: dict(candidate.outcome.figures)}
    packed = artifacts.pack(
        replace(candidate.model, provenance=provenance),
        kind=kind,
        profile_id=profile_id,
        partition=partition,
        generation=base.generation,
    )
    constant = constant_features(candidate.model.samples, candidate.model.features)
    return candidate, packed, len(constant)


def propose(
    builder: RetrainerStepBuilder,
    training: Training,
    candidate: Candidate,
    artifact: Artifact,
    constant: int,
) -> None:
    """Write the candidate, with so many constant features."""
    key, base, _, pool, why = training
    partition, kind, profile_id = key
    model = candidate.model
    record = base.model_copy(
        update={
            "version": None,
            "base_version": base.version,
            "detector": detector_name(model),
            "artifact": artifact.path,
            "sha256": artifact.sha256,
            "trained_on": int(model.provenance["samples"]),
            "pool_count": pool.accepted,
            "alert_budget": builder.context.settings.alert_budget,
            "decision_offset": float(model.detector.offset_),
            "trigger": why,
            "trained_at": builder.now,
            "history": [],
            "provenance": dict(model.provenance),
            "figures": dict(candidate.outcome.figures),
        }
    )
    value = record.model_dump_json().encode()
    out = ProducerRecord(builder.context.topics.candidates, value, profile_id.encode(), partition)
    if out.size > OUTPUT_LIMIT:
        fail(builder, key, base, why, f"the candidate's record exceeds {OUTPUT_LIMIT} bytes")
        return
    builder.step.artifacts.append((key, artifact))
    builder.step.outputs.append(out)
    builder.step.count("trainings", kind, why, "proposed")
    builder.step.count("constant_features", kind, by=constant)


def fail(
    builder: RetrainerStepBuilder, key: ProfileKey, base: ModelRecord, why: str, reason: str
) -> None:
    """Say that a training failed; it is tried again after as many samples as before."""
    builder.step.count("trainings", key[1], why, "failed")
    emit_lifecycle(
        builder,
        key,
        "training_failed",
        reason,
        generation=base.generation,
        version=base.version,
    )
