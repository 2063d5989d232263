"""Watching a profile whose records are abnormal one after another: when it is shifted.

A watch begins with an anomaly close behind another one and ends when the profile is quiet. Its
samples are stored from the tenth anomaly on, in the ring of the profile's generation in
``cold-start``, which an active profile has no other use for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from models.artifacts import Model
from models.detectors import SEQUENTIAL
from models.features import KINDS
from models.learning.shifts.adoption import accepts, agree, moved_features
from models.learning.shifts.recent import ABNORMAL, ENDED, NEAR, NOT_WATCHED, WINDOW
from models.learning.training import seed_of
from processor.records import ConsumerRecord, ProducerRecord, ProfileKey
from processor.scorer.step_builder import AwaitingScore, Floats, StepBuilder
from processor.scorer.verdicts import Judgement, verdict_id
from processor.state import ring
from processor.state.profile_codec import ShiftNote, shift_key
from processor.state.profiles import ActiveProfile
from processor.state.ring import Ring
from processor.state.ring_codec import Slot
from processor.state.shifts import Shift
from processor.topics import OUTPUT_LIMIT
from schemas import ModelRecord

STORED_FROM = 10
"""Anomalies among the last records of a watch from which on their samples are stored."""

TRY_EVERY = 5
"""Whether the samples agree is looked at again after so many more of them."""


class ShiftChange(NamedTuple):
    """What one more scored record changes of a profile's shift.

    Attributes:
        shift: from here on; None: nothing is known of a new normal.
        outputs: of the changelog.
        told: ``shifted`` or ``shift_ended``, its sentence and figures; None if neither is so.
    """

    shift: Shift | None
    outputs: list[ProducerRecord]
    told: tuple[str, str, dict[str, Any]] | None = None


def follow_shift(
    builder: StepBuilder,
    item: AwaitingScore,
    judgement: Judgement,
    since_anomaly: int | None,
    model: Model,
) -> ShiftChange | None:
    """Follow one scored record of a profile that is in no maintenance window; None: no change.

    Of a detector that follows a new level by itself ``followed`` tells it.

    Args:
        since_anomaly: records since the last anomaly before this one; None when unknown.
    """
    key, record = item.key, item.record
    shift = builder.shift(key)
    if item.active.record.detector in SEQUENTIAL or (shift is not None and shift.renamed):
        return None
    if shift is None or not shift.recent.seen:
        if not judgement.anomaly or since_anomaly is None or since_anomaly > NEAR:
            return None
        shift = begin_watch(item.active, shift)
    recent = shift.recent.after(judgement.anomaly)
    shift = replace(shift, recent=recent)
    if not shift.told and recent.quiet:
        return give_up(builder, key, item.active.record, shift)
    if shift.told and recent.abnormal < ENDED:
        return end_shift(record, shift)
    if not judgement.anomaly:
        return ShiftChange(shift, [])
    shift, stored = keep_samples(builder, key, record, shift, abnormal_rows(judgement))
    if shift.told or recent.abnormal < ABNORMAL or not stored:
        return ShiftChange(shift, stored)
    if recent.abnormal > ABNORMAL and shift.ring.records % TRY_EVERY:
        return ShiftChange(shift, stored)
    return declare(builder, item, shift, stored, model)


def follow_normal(
    builder: StepBuilder, key: ProfileKey, announced: ModelRecord, count: int = 1
) -> None:
    """Follow some normal records of a profile that is watched and not shifted."""
    shift = builder.shift(key)
    if shift is None or shift.renamed:
        return
    recent = shift.recent
    for _ in range(count):
        recent = recent.after(anomaly=False)
        if recent.quiet:
            break
    shift = replace(shift, recent=recent)
    quiet = give_up(builder, key, announced, shift) if recent.quiet else ShiftChange(shift, [])
    take_over(builder, key, quiet)


def begin_watch(active: ActiveProfile, known: Shift | None) -> Shift:
    """A watch with nothing in it yet; what was kept of an earlier shift stays."""
    before = known or Shift.empty(active.record)
    return replace(before, watched=before.ring.records, pending=(), recent=NOT_WATCHED)


def abnormal_rows(judgement: Judgement) -> Floats:
    """The samples of a record that are abnormal, shape (n, features)."""
    return judgement.rows[np.array(judgement.decisions) < 0]


def keep_samples(
    builder: StepBuilder, key: ProfileKey, record: ConsumerRecord, shift: Shift, rows: Floats
) -> tuple[Shift, list[ProducerRecord]]:
    """The shift with the samples of one more abnormal record, and what of them is stored."""
    settings, topic = builder.context.settings, builder.context.topics.cold_start
    needed = settings.shift_samples_for(key[1])
    pending = (*shift.pending, (record.offset, rows[-needed:]))[-STORED_FROM:]
    storing = shift.told or shift.ring.records > shift.watched
    if not storing and shift.recent.abnormal < STORED_FROM:
        return replace(shift, pending=pending), []
    held, outputs = shift.ring, []
    for offset, samples in pending:
        grown, place, slot = ring.append_sample(held, offset, samples, capacity=max(needed, WINDOW))
        stored = ring.changelog(topic, key, place, slot)
        if stored.size <= OUTPUT_LIMIT:
            held = grown
            outputs.append(stored)
    return replace(shift, ring=held, pending=()), outputs


def declare(
    builder: StepBuilder,
    item: AwaitingScore,
    shift: Shift,
    stored: list[ProducerRecord],
    model: Model,
) -> ShiftChange:
    """Report the profile as shifted if its abnormal records agree with one another."""
    key, settings = item.key, builder.context.settings
    slots = slots_from(shift.ring, shift.watched)[-shift.recent.abnormal :]
    samples = np.concatenate([slot.rows for slot in slots])
    detector = settings.detector_for(key[1], KINDS[key[1]].detector)
    if detector in SEQUENTIAL:
        # Whether samples agree does not depend on their order.
        detector = "gaussian"
    asked: dict[str, Any] = {
        "alert_budget": settings.alert_budget,
        "seed": seed_of(settings.seed, key[1], key[2], shift.ring.generation, "shift"),
    }
    if not builder.may_train((item.record.topic, item.record.partition), len(samples)):
        return ShiftChange(shift, stored)
    if not agree(samples, detector, **asked):
        return ShiftChange(shift, stored)
    earlier = slots_between(shift.ring, shift.begins, shift.watched)
    begins = slots[0].number
    if earlier and accepts(
        samples, np.concatenate([slot.rows for slot in earlier]), detector, **asked
    ):
        # As it was last night: what was kept of that counts.
        begins = shift.begins
    topic, partition = item.record.topic, item.record.partition
    since = f"{topic}-{partition}-{slots[0].offset}"
    told = replace(shift, since=since, begins=begins)
    kept = len(samples_of(told))
    figures = {
        "since": since,
        "anomalies": shift.recent.abnormal,
        "records": shift.recent.seen,
        "samples": kept,
        "needed": settings.shift_samples_for(key[1]),
        "on_shift": policy(builder, key),
        "moved": moved_features(model, samples),
    }
    detail = (
        f"{shift.recent.abnormal} of the last {shift.recent.seen} records are abnormal in the "
        f"same way, since {since}; {outlook(builder, key, told)}"
    )
    return ShiftChange(told, stored, ("shifted", detail, figures))


def outlook(builder: StepBuilder, key: ProfileKey, shift: Shift) -> str:
    """Whether and when a new normal is learnt, for the event's text."""
    profile = builder.profile(key)
    if isinstance(profile, ActiveProfile) and profile.record.detector in SEQUENTIAL:
        follows = "the detector follows a new level by itself"
        if waits_for_command(builder, key, shift):
            follows += "; held: no version learns it until `telltale profile adopt` says so"
        return follows
    if waits_for_command(builder, key, shift):
        return "held: it is learnt when `telltale profile adopt` says so"
    needed = builder.context.settings.shift_samples_for(key[1])
    return f"learnt after {needed} such samples, unless `telltale profile hold` says otherwise"


def policy(builder: StepBuilder, key: ProfileKey) -> str:
    """What is done with a new normal of a profile: ``adopt`` or ``hold``."""
    return builder.context.settings.on_shift_for(key[1], KINDS[key[1]].on_shift)


def waits_for_command(builder: StepBuilder, key: ProfileKey, shift: Shift) -> bool:
    """Whether a new normal is learnt only when an operator says so.

    New columns of a kind come with a version of Telltale, so that no one has to vouch for them.
    """
    columns = shift.renamed and KINDS[key[1]].features is not None
    return held(builder, shift) or (policy(builder, key) == "hold" and not columns)


def held(builder: StepBuilder, shift: Shift) -> bool:
    """Whether an operator holds a profile back from a new normal."""
    return shift.held_until is not None and shift.held_until > builder.now


def end_shift(record: ConsumerRecord, shift: Shift) -> ShiftChange:
    """Report that the shift has ended; its samples are kept in case it comes back."""
    figures = {
        "since": shift.since,
        "until": verdict_id(record),
        "anomalies": shift.recent.abnormal,
        "records": shift.recent.seen,
        "samples": len(samples_of(shift)),
    }
    detail = (
        f"{shift.recent.abnormal} of the last {shift.recent.seen} records are abnormal; "
        f"it was shifted since {shift.since}"
    )
    ended = replace(shift, since=None, recent=NOT_WATCHED, watched=shift.ring.records, pending=())
    return ShiftChange(ended, [], ("shift_ended", detail, figures))


def give_up(
    builder: StepBuilder, key: ProfileKey, announced: ModelRecord, shift: Shift
) -> ShiftChange:
    """End a watch that found no shift, and delete its samples."""
    before, topic = shift.ring, builder.context.topics.cold_start
    gone = {place for place, slot in before.slots.items() if slot.number >= shift.watched}
    kept = {place: slot for place, slot in before.slots.items() if place not in gone}
    if not kept:
        return ShiftChange(shift.only_held(announced), ring.tombstones(topic, key, before))
    dropped = replace(before, used=frozenset(gone))
    last = max(kept.values(), key=lambda slot: slot.number)
    left = replace(
        before,
        slots=kept,
        used=before.used - gone,
        records=last.number + 1,
        seen=last.before + len(last.rows),
    )
    after = replace(shift, ring=left, recent=NOT_WATCHED, pending=(), watched=left.records)
    return ShiftChange(after, ring.tombstones(topic, key, dropped))


def slots_from(held: Ring, number: int) -> list[Slot]:
    """The slots of a ring from a record on, in their order."""
    return slots_between(held, number, held.records)


def slots_between(held: Ring, first: int, end: int) -> list[Slot]:
    found = (slot for slot in held.slots.values() if first <= slot.number < end)
    return sorted(found, key=lambda slot: slot.number)


def samples_of(shift: Shift) -> Floats:
    """The samples of a new normal, shape (n, features)."""
    return ring.joined(slots_from(shift.ring, shift.begins), len(shift.ring.names))


def take_over(builder: StepBuilder, key: ProfileKey, followed: ShiftChange) -> None:
    """Put the change of a profile's shift into the Step: records, state, and its event."""
    builder.emit(*followed.outputs)
    if followed.shift is None and followed.outputs:
        builder.emit_note(key, None, shift_key)
    if followed.told is not None:
        event, detail, figures = followed.told
        profile = builder.profile(key)
        version = profile.record.version if isinstance(profile, ActiveProfile) else None
        builder.emit_lifecycle(
            key,
            event,
            detail,
            generation=builder.generation(key),
            version=version,
            figures=figures,
        )
        builder.count("shifts", key[1], event)
        if followed.shift is not None:
            builder.emit_note(key, ShiftNote.of(followed.shift), shift_key)
    builder.delta.shifts[key] = followed.shift
