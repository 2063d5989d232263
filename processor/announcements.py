"""Versions: how the scorer trains the first, adopts candidates, and says what became of them."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from models import artifacts
from models.artifacts import GATE, ArtifactError, Model, profile_directory
from models.features import KINDS
from models.quality import constant_features
from models.training import seed_of, train
from processor import proof, ring
from processor.decode import dead_letter
from processor.draft import Draft
from processor.records import DeadLetter, Incoming, Outgoing, ProfileKey
from processor.ring import Ring
from processor.state import Active
from schemas import (
    HistoryEntry,
    InvalidJson,
    LifecycleEvent,
    Mark,
    MarkName,
    ModelRecord,
    explain,
    parse_object,
)
from schemas.model_record import KNOWN_TRIGGERS

HISTORY = 5
CONSTANT_NAMED, MAX_NAME = 20, 100
"""Constant features that are named, and of each name so much; of more there is the number."""


def lifecycle(draft: Draft, key: ProfileKey, event: str, detail: str, **fields: Any) -> None:
    """Write a lifecycle event on the profile's partition."""
    partition, kind, profile_id = key
    said = LifecycleEvent(
        event=event,
        profile_id=profile_id,
        kind=kind,
        role="scorer",
        detail=detail,
        at=draft.now,
        **fields,
    )
    value = said.model_dump_json().encode()
    topic = draft.rules.topics.lifecycle
    draft.step.outputs.append(Outgoing(topic, value, profile_id.encode(), partition))


def mark(draft: Draft, key: ProfileKey, word: MarkName, **more: Any) -> Outgoing:
    """A word to the retrainer, in order with the profile's accepted samples.

    Raises:
        ArtifactUnavailable: the store does not give the secret that proves it.
    """
    partition, kind, profile_id = key
    said = Mark(
        mark=word,
        profile_id=profile_id,
        kind=kind,
        generation=draft.generation(key) or 0,
        **more,
    )
    name, value = profile_id.encode(), said.model_dump_json().encode()
    out = Outgoing(draft.rules.topics.accepted, value, name, partition)
    if word == "forget":
        # The tombstone in the same transaction proves it, and it must not wait for the store.
        return out
    told = proof.prove(draft.rules.secret(), partition, name, value)
    return out._replace(headers=[(proof.HEADER, told)])


def profile_record(draft: Draft, key: ProfileKey, value: bytes | None) -> Outgoing:
    """What must outlive a process, beside models and samples; None clears it."""
    partition, kind, profile_id = key
    return Outgoing(draft.rules.topics.profiles, value, f"{kind}:{profile_id}".encode(), partition)


def announce(draft: Draft, key: ProfileKey, record: ModelRecord) -> None:
    """Make a version the profile's current one."""
    partition, kind, profile_id = key
    topic = draft.rules.topics.models
    place = f"{kind}:{profile_id}".encode()
    value = record.model_dump_json().encode()
    draft.step.outputs.append(Outgoing(topic, value, place, partition))
    before = draft.profile(key)
    since = before.since_anomaly if isinstance(before, Active) else None
    draft.step.profiles[key] = Active(record, since)


def first_version(
    draft: Draft, record: Incoming, key: ProfileKey, stored: Ring, complete: Ring
) -> None:
    """Train version 1 there and then; the profile's next record is scored with it.

    Args:
        record: the telemetry record that completed the learning.
        stored: the ring before that record: its slots are cleared.
        complete: the ring with it.
    """
    partition, kind, profile_id = key
    settings = draft.rules.settings
    samples = complete.samples()
    name = settings.detector_for(kind, KINDS[kind].detector)
    model = train(
        name,
        samples,
        complete.names,
        alert_budget=settings.alert_budget,
        seed=seed_of(settings.seed, kind, profile_id, complete.generation, 1),
        provenance={"trigger": "cold-start", "cold_start": int(samples.shape[0]), "pool": 0},
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
        features=list(complete.names),
        trained_on=int(samples.shape[0]),
        learned=int(samples.shape[0]),
        pool_count=0,
        alert_budget=settings.alert_budget,
        decision_offset=float(model.detector.offset_),
        trigger="cold-start",
        trained_at=draft.now,
        source_offset=record.offset,
        provenance=dict(model.provenance),
    )
    draft.step.artifacts.append((key, artifact))
    draft.step.models[artifact.sha256] = draft.models[artifact.sha256] = model
    announce(draft, key, announced)
    draft.step.outputs += ring.tombstones(draft.rules.topics.cold_start, key, stored)
    draft.step.count("trainings", kind, "cold-start", "trained")
    constant = constant_features(samples, complete.names)
    draft.step.count("constant_features", kind, by=len(constant))
    lifecycle(
        draft,
        key,
        "trained",
        f"version 1, {name}, on {samples.shape[0]} samples",
        generation=complete.generation,
        version=1,
        figures={
            "samples": int(samples.shape[0]),
            "features": len(complete.names),
            "constant_features": len(constant),
            "constant": [feature[:MAX_NAME] for feature in constant[:CONSTANT_NAMED]],
        },
    )


def not_written(draft: Draft, key: ProfileKey, generation: int, retry_at: int) -> None:
    """Say that training was refused because its artefact could not be written."""
    draft.step.count("trainings", key[1], "cold-start", "failed")
    lifecycle(
        draft,
        key,
        "training_failed",
        f"the artefact could not be written; tried again from {retry_at} samples on",
        generation=generation,
        version=1,
    )


def adopt(draft: Draft, record: Incoming) -> None:
    """Give a candidate its version and switch to it, or refuse it."""
    candidate = read_candidate(record)
    if isinstance(candidate, DeadLetter):
        draft.step.count("dead_letters", candidate.reason)
        topic = draft.rules.topics.dead_letter
        draft.step.outputs.append(dead_letter(record, candidate, topic))
        return
    key = (record.partition, candidate.kind, candidate.profile_id)
    # A label's values are bounded, whatever a later release may call its triggers.
    trigger = candidate.trigger if candidate.trigger in KNOWN_TRIGGERS else "other"
    current = draft.profile(key)
    why = _objection(current, candidate)
    if why is None:
        opened = draft.rules.open_models([candidate])[candidate.sha256]
        if isinstance(opened, Model):
            draft.models[candidate.sha256] = opened
        else:
            why = str(opened)
    if why is not None or not isinstance(current, Active):
        draft.step.count("trainings", candidate.kind, trigger, "refused")
        discard(draft, key, candidate)
        lifecycle(
            draft,
            key,
            "refused",
            f"candidate of version {candidate.base_version}: {why}",
            generation=candidate.generation,
            version=candidate.base_version,
            figures=candidate.figures,
        )
        return
    before = current.record
    announced = candidate.model_copy(
        update={
            "version": (before.version or 0) + 1,
            "partition": record.partition,
            "history": [entry(before), *before.history][:HISTORY],
        }
    )
    announce(draft, key, announced)
    draft.step.count("trainings", candidate.kind, trigger, "adopted")
    lifecycle(
        draft,
        key,
        "adopted",
        f"version {announced.version}, {announced.trigger}, on {announced.trained_on} samples",
        generation=announced.generation,
        version=announced.version,
        figures=announced.figures,
    )


def read_candidate(record: Incoming) -> ModelRecord | DeadLetter:
    """The candidate that a record holds, or what is wrong with it."""
    try:
        candidate = ModelRecord.model_validate(parse_object(record.value or b""))
    except InvalidJson as error:
        return DeadLetter("invalid_candidate", f"value: {error}")
    except ValidationError as error:
        return DeadLetter("invalid_candidate", explain(error))
    if candidate.kind not in KINDS:
        return DeadLetter("invalid_candidate", f"kind: expected one of {', '.join(KINDS)}")
    return candidate


def discard(draft: Draft, key: ProfileKey, candidate: ModelRecord) -> None:
    """Have the artefact of a refused candidate deleted, unless an announcement names it."""
    partition, kind, profile_id = key
    current = draft.profile(key)
    kept: set[str] = set()
    if isinstance(current, Active):
        kept = {current.record.artifact, *(old.artifact for old in current.record.history)}
    folder, _, name = candidate.artifact.rpartition("/")
    if folder == profile_directory(kind, profile_id, partition) and candidate.artifact not in kept:
        draft.step.discards.append(f"{folder}/{name}")


def _objection(current: object, candidate: ModelRecord) -> str | None:
    if not isinstance(current, Active):
        return "the profile has no model"
    if candidate.generation != current.record.generation:
        return f"it is of generation {candidate.generation}, not {current.record.generation}"
    if candidate.base_version != current.record.version:
        return f"the current version is {current.record.version}"
    return None


def entry(record: ModelRecord) -> HistoryEntry:
    """A version as the history of the next one keeps it."""
    return HistoryEntry(
        version=record.version or 1,
        artifact=record.artifact,
        sha256=record.sha256,
        decision_offset=record.decision_offset,
        trained_at=record.trained_at,
    )


def return_to(draft: Draft, current: ModelRecord, old: HistoryEntry) -> ModelRecord | ArtifactError:
    """The announcement of version n + 1 that is an earlier artefact again; its model is opened."""
    earlier = current.model_copy(update={"artifact": old.artifact, "sha256": old.sha256})
    opened = draft.rules.open_models([earlier])[old.sha256]
    if not isinstance(opened, Model):
        return opened
    draft.models[old.sha256] = opened
    return earlier.model_copy(
        update={
            "version": (current.version or 0) + 1,
            "base_version": None,
            "detector": opened.provenance.get("detector", current.detector),
            "trained_on": int(opened.samples.shape[0]),
            "decision_offset": old.decision_offset,
            "trigger": "rollback",
            "trained_at": old.trained_at,
            "history": [entry(current), *current.history][:HISTORY],
            "provenance": {k: v for k, v in opened.provenance.items() if k != GATE},
            "figures": opened.provenance.get(GATE),
        }
    )


def fall_back(draft: Draft, key: ProfileKey, active: Active, error: Exception) -> None:
    """Go on with the newest version that can be opened, or let the profile learn anew."""
    for old in active.record.history:
        restored = return_to(draft, active.record, old)
        if isinstance(restored, ModelRecord):
            announce(draft, key, restored)
            detail = f"{error}; version {restored.version} is version {old.version} again"
            break
    else:
        draft.step.profiles[key] = None
        detail = f"{error}; the profile learns anew"
    draft.step.count("models_lost", key[1])
    lifecycle(
        draft,
        key,
        "model_lost",
        detail,
        generation=active.record.generation,
        version=active.record.version,
    )
