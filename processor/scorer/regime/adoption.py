"""Adopting a new normal: the version after the one in force, trained on what the profile knew and
on what is new.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models import artifacts
from models.artifacts import Model
from models.detectors import SEQUENTIAL
from models.features import KINDS, frequent
from models.learning.shifts.adoption import adopt_new_normal
from models.learning.training import seed_of
from processor.records import ProfileKey
from processor.scorer.regime.followed import learn_level
from processor.scorer.regime.watch import samples_of, waits_for_command
from processor.scorer.step_builder import StepBuilder
from processor.scorer.versions import HISTORY, history_entry, model_in_force
from processor.state.profile_codec import ShiftNote, shift_key
from processor.state.profiles import ActiveProfile
from processor.state.shifts import Shift
from processor.topics import OUTPUT_LIMIT


def adopt_due(builder: StepBuilder) -> None:
    """Adopt what the batch completed, behind all of its verdicts."""
    for key, shift in list(builder.delta.shifts.items()):
        if shift is None or not shift.told or waits_for_command(builder, key, shift):
            continue
        needed = builder.context.settings.shift_samples_for(key[1])
        if follows_by_itself(builder, key):
            continue
        if len(samples_of(shift)) < needed or shift.ring.records < shift.retry_at:
            continue
        place = (builder.context.topics.telemetry(key[1]), key[0])
        if builder.may_train(place, 2 * needed):
            adopt_shift(builder, key)


def adopt_shift(builder: StepBuilder, key: ProfileKey, command_id: str | None = None) -> str | None:
    """Train a version on what a profile knew and its new normal, and switch to it.

    Returns:
        Why that cannot be done; None if it is done.
    """
    partition, kind, profile_id = key
    profile, shift = builder.profile(key), builder.shift(key)
    if not isinstance(profile, ActiveProfile) or shift is None or not shift.told:
        return "the profile is not shifted"
    if follows_by_itself(builder, key):
        if not waits_for_command(builder, key, shift):
            follows = "its detector follows a new level by itself"
            return f"{follows}; `telltale profile retrain` trains the next version"
        learn_level(builder, key, profile, shift, command_id)
        return None
    settings, before = builder.context.settings, profile.record
    samples = samples_of(shift)[-settings.shift_samples_for(kind) :]
    if len(samples) < settings.min_training_data_points:
        return f"{len(samples)} samples are too few, {settings.min_training_data_points} are needed"
    if key in builder.refused:
        builder.count("trainings", kind, "shift", "failed")
        why = "the artefact could not be written"
        later = shift.ring.records + max(1, settings.shift_samples_for(kind) // 10)
        builder.delta.shifts[key] = replace(shift, retry_at=later)
        builder.emit_lifecycle(
            key, "training_failed", why, generation=before.generation, version=before.version
        )
        return why
    current = model_in_force(builder, before)
    if not isinstance(current, Model):
        return str(current)
    name = settings.detector_for(kind, KINDS[kind].detector)
    if name in SEQUENTIAL:
        # What is abnormal is no sequence that a forecast could be learnt from.
        name = before.detector
    version = (before.version or 0) + 1
    names = current.features
    if shift.renamed and KINDS[kind].features is not None:
        names = shift.ring.names
    elif shift.renamed:
        evident = np.flatnonzero((~np.isnan(samples)).any(axis=0))
        columns = [column for column in frequent(samples) if column in evident]
        samples = samples[:, columns]
        names = tuple(map(shift.ring.names.__getitem__, columns))
    adoption = adopt_new_normal(
        None if shift.renamed else current,
        samples,
        names,
        detector=name,
        alert_budget=settings.alert_budget,
        seed=seed_of(settings.seed, kind, profile_id, before.generation, version),
        provenance={"shifted_since": shift.since, "base_version": before.version},
    )
    model = adoption.model
    artifact = artifacts.pack(
        model,
        kind=kind,
        profile_id=profile_id,
        partition=partition,
        generation=before.generation,
    )
    figures = {"samples": len(samples), "known": adoption.known, "since": shift.since}
    announced = before.model_copy(
        update={
            "version": version,
            "base_version": None,
            "pool_count": 0,
            "partition": partition,
            "features": list(names),
            "detector": name,
            "artifact": artifact.path,
            "sha256": artifact.sha256,
            "trained_on": int(model.samples.shape[0]),
            "alert_budget": settings.alert_budget,
            "decision_offset": float(model.detector.offset_),
            "trigger": "shift",
            "trained_at": builder.now,
            "source_offset": max(slot.offset for slot in shift.ring.slots.values()),
            "history": [history_entry(before), *before.history][:HISTORY],
            "provenance": dict(model.provenance),
            "figures": figures,
        }
    )
    if builder.announcement(key, announced).size > OUTPUT_LIMIT:
        return f"its announcement exceeds {OUTPUT_LIMIT} bytes"
    builder.step.artifacts.append((key, artifact))
    builder.step.models[artifact.sha256] = builder.models[artifact.sha256] = model
    builder.announce(key, announced)
    # As behind a rollback: what is pooled was judged by the version before.
    told = {"version": version, "command_id": f"shift-{version}"}
    builder.emit(builder.mark(key, "rollback", **told))
    builder.emit(*builder.drop_shift(key, shift))
    builder.count("trainings", kind, "shift", "adopted")
    builder.emit_lifecycle(
        key,
        "adopted",
        f"version {version}, shift, on {adoption.known} samples that the profile knew and "
        f"{len(samples)} of its new normal",
        generation=before.generation,
        version=version,
        command_id=command_id,
        figures=figures,
    )
    return None


def follows_by_itself(builder: StepBuilder, key: ProfileKey) -> bool:
    """Whether a profile's detector moves to a new level without being trained."""
    profile = builder.profile(key)
    return isinstance(profile, ActiveProfile) and profile.record.detector in SEQUENTIAL


def hold_shift(builder: StepBuilder, key: ProfileKey, until: int) -> None:
    """Keep a profile from learning a new normal until then, epoch milliseconds."""
    profile, shift = builder.profile(key), builder.shift(key)
    if not isinstance(profile, ActiveProfile):
        return
    kept = replace(shift or Shift.empty(profile.record), held_until=until)
    builder.emit_note(key, ShiftNote.of(kept), shift_key)
    builder.delta.shifts[key] = kept
