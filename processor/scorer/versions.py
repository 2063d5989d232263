"""Versions: how the scorer trains the first, adopts candidates, and says what became of them."""

from __future__ import annotations

from pydantic import ValidationError

from models.artifacts import GATE, Model
from models.detectors import SEQUENTIAL
from models.errors import ArtifactError
from models.features import KINDS
from models.naming import Stored, misnamed
from processor.dead_letter import dead_letter
from processor.records import (
    INVALID_HEADERS,
    UNREADABLE_HEADERS,
    ConsumerRecord,
    DeadLetter,
    ProfileKey,
)
from processor.scorer.step_builder import StepBuilder
from processor.state.profile_codec import ShiftNote, shift_key
from processor.state.profiles import ActiveProfile
from processor.topics import OUTPUT_LIMIT
from schemas import HistoryEntry, InvalidJson, ModelRecord, explain, parse_object
from schemas.base import id_fault
from schemas.model_record import KNOWN_TRIGGERS

HISTORY = 5


def adopt(builder: StepBuilder, record: ConsumerRecord) -> None:
    """Give a candidate its version and switch to it, or refuse it."""
    candidate = read_candidate(record)
    if isinstance(candidate, DeadLetter):
        builder.count("dead_letters", candidate.reason)
        topic = builder.context.topics.dead_letter
        builder.emit(dead_letter(record, candidate, topic))
        return
    key = (record.partition, candidate.kind, candidate.profile_id)
    # A label's values are bounded, whatever a later release may call its triggers.
    trigger = candidate.trigger if candidate.trigger in KNOWN_TRIGGERS else "other"
    current = builder.profile(key)
    why = rejection_reason(current, candidate) or named_wrongly(
        key, candidate.generation, candidate
    )
    if why is None:
        opened = builder.context.open_models([candidate])[candidate.sha256]
        if isinstance(opened, Model):
            builder.models[candidate.sha256] = opened
        else:
            why = str(opened)
    if why is None and isinstance(current, ActiveProfile):
        adopted = successor(current.record, candidate, record.partition)
        if builder.announcement(key, adopted).size <= OUTPUT_LIMIT:
            builder.announce(key, adopted)
            builder.count("trainings", candidate.kind, trigger, "adopted")
            builder.emit_lifecycle(
                key,
                "adopted",
                f"version {adopted.version}, {trigger}, on {adopted.trained_on} samples",
                generation=adopted.generation,
                version=adopted.version,
                figures=adopted.figures,
            )
            end_unfit_shift(builder, key, current.record, adopted)
            return
        why = f"its announcement exceeds {OUTPUT_LIMIT} bytes"
    builder.count("trainings", candidate.kind, trigger, "refused")
    discard(builder, key, candidate)
    builder.emit_lifecycle(
        key,
        "refused",
        f"candidate of version {candidate.base_version}: {why}",
        generation=candidate.generation,
        version=candidate.base_version,
        figures=candidate.figures,
    )


def successor(before: ModelRecord, candidate: ModelRecord, partition: int) -> ModelRecord:
    """A candidate as the version after the one in force."""
    return candidate.model_copy(
        update={
            "version": (before.version or 0) + 1,
            "partition": partition,
            "history": [history_entry(before), *before.history][:HISTORY],
        }
    )


def read_candidate(record: ConsumerRecord) -> ModelRecord | DeadLetter:
    """The candidate that a record holds, or what is wrong with it."""
    if record.headers is UNREADABLE_HEADERS:
        return INVALID_HEADERS
    try:
        candidate = ModelRecord.model_validate(parse_object(record.value or b""))
    except InvalidJson as error:
        return DeadLetter("invalid_candidate", f"value: {error}")
    except ValidationError as error:
        return DeadLetter("invalid_candidate", explain(error))
    if candidate.kind not in KINDS:
        return DeadLetter("invalid_candidate", f"kind: expected one of {', '.join(KINDS)}")
    fault = id_fault(candidate.profile_id)
    if fault is None and candidate.profile_id.encode() != record.key:
        fault = "expected the record's key"
    if fault is not None:
        return DeadLetter("invalid_candidate", f"profile_id: {fault}")
    return candidate


def discard(builder: StepBuilder, key: ProfileKey, candidate: ModelRecord) -> None:
    """Have the artefact of a refused candidate deleted, unless an announcement names it.

    One that has another name than the profile's artefacts get is left alone.
    """
    current = builder.profile(key)
    kept: set[str] = set()
    if isinstance(current, ActiveProfile):
        kept = {current.record.artifact, *(old.artifact for old in current.record.history)}
    wrong = named_wrongly(key, candidate.generation, candidate)
    if wrong is None and candidate.artifact not in kept:
        builder.step.artifacts_to_delete.append(candidate.artifact)


def named_wrongly(key: ProfileKey, generation: int, stored: Stored) -> str | None:
    """Why an artefact is not one that is written for a profile; None if it is."""
    partition, kind, profile_id = key
    return misnamed(
        stored, kind=kind, profile_id=profile_id, partition=partition, generation=generation
    )


def rejection_reason(current: object, candidate: ModelRecord) -> str | None:
    if not isinstance(current, ActiveProfile):
        return "the profile has no model"
    if candidate.generation != current.record.generation:
        return f"it is of generation {candidate.generation}, not {current.record.generation}"
    if candidate.base_version != current.record.version:
        return f"the current version is {current.record.version}"
    return None


def history_entry(record: ModelRecord) -> HistoryEntry:
    """A version as the history of the next one keeps it."""
    return HistoryEntry(
        version=record.version or 1,
        artifact=record.artifact,
        sha256=record.sha256,
        decision_offset=record.decision_offset,
        trained_at=record.trained_at,
    )


def model_in_force(builder: StepBuilder, announced: ModelRecord) -> Model | ArtifactError:
    """The model of an announcement; the fast path may have used it without the builder."""
    held = builder.models.get(announced.sha256)
    return held or builder.context.open_models([announced])[announced.sha256]


def go_back(builder: StepBuilder, key: ProfileKey, before: ModelRecord, old: ModelRecord) -> None:
    """Announce an earlier artefact, and end the shift that it cannot go on with."""
    builder.announce(key, old)
    end_unfit_shift(builder, key, before, old)


def end_unfit_shift(
    builder: StepBuilder, key: ProfileKey, before: ModelRecord, after: ModelRecord
) -> None:
    """Let go of a shift that the next version can neither follow nor end; a hold stays.

    Samples fit no other features. A detector that judges points in their order has no samples, and
    one that judges rows no level.
    """
    shift = builder.shift(key)
    same_sort = (before.detector in SEQUENTIAL) == (after.detector in SEQUENTIAL)
    if shift is None or (before.features == after.features and same_sort):
        return
    builder.emit(*builder.drop_shift(key, shift))
    held = shift.only_held(after)
    if held is not None:
        builder.emit_note(key, ShiftNote.of(held), shift_key)
        builder.delta.shifts[key] = held
    if shift.shifted and not same_sort:
        builder.count("shifts", key[1], "shift_ended")
        builder.emit_lifecycle(
            key,
            "shift_ended",
            f"{after.detector} judges from here on; it was shifted since {shift.since}",
            generation=after.generation,
            version=after.version,
            figures={"since": shift.since},
        )


def rollback_record(
    builder: StepBuilder, key: ProfileKey, current: ModelRecord, old: HistoryEntry
) -> ModelRecord | ArtifactError:
    """The announcement of version n + 1 that is an earlier artefact again; its model is opened."""
    wrong = named_wrongly(key, current.generation, old)
    if wrong is not None:
        return ArtifactError(wrong)
    earlier = current.model_copy(update={"artifact": old.artifact, "sha256": old.sha256})
    opened = builder.context.open_models([earlier])[old.sha256]
    if not isinstance(opened, Model):
        return opened
    builder.models[old.sha256] = opened
    return earlier.model_copy(
        update={
            "version": (current.version or 0) + 1,
            "features": list(opened.features),
            "base_version": None,
            "detector": opened.provenance.get("detector", current.detector),
            "trained_on": int(opened.samples.shape[0]),
            "decision_offset": old.decision_offset,
            "trigger": "rollback",
            "trained_at": old.trained_at,
            "history": [history_entry(current), *current.history][:HISTORY],
            "provenance": {k: v for k, v in opened.provenance.items() if k != GATE},
            "figures": opened.provenance.get(GATE),
        }
    )


def recover_lost_model(
    builder: StepBuilder, key: ProfileKey, active: ActiveProfile, error: Exception
) -> None:
    """Go on with the newest version that can be opened, or let the profile learn anew."""
    for old in active.record.history:
        restored = rollback_record(builder, key, active.record, old)
        if isinstance(restored, ModelRecord):
            go_back(builder, key, active.record, restored)
            detail = f"{error}; version {restored.version} is version {old.version} again"
            break
    else:
        builder.delta.profiles[key] = builder.delta.names[key] = None
        shift = builder.shift(key)
        if shift is not None:
            builder.emit(*builder.drop_shift(key, shift))
        detail = f"{error}; the profile learns anew"
    builder.count("models_lost", key[1])
    builder.emit_lifecycle(
        key,
        "model_lost",
        detail,
        generation=active.record.generation,
        version=active.record.version,
    )
