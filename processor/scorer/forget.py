"""Forgetting a profile, in an order that survives a crash at any point.

The first transaction clears the profile's keys in all compacted topics, tells the retrainer, and
notes in ``profiles`` what was cleared; the command's offset stays where it is. So the command is
read again, by this process or by the next, before any telemetry of its partition: the artefacts
are deleted, and the second transaction commits that offset together with the receipt and clears
the note.

A profile that was silent for ``TELLTALE_PROFILE_TTL_DAYS`` goes the same way without a command: the
note alone says what is to be done, and the next Step, whatever it is for, does it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.features import KINDS
from models.naming import profile_directory
from processor.records import ConsumerRecord, ProducerRecord, ProfileKey
from processor.scorer.sequential.answers import online_record
from processor.scorer.step_builder import StepBuilder
from processor.state import ring
from processor.state.profiles import ActiveProfile, LearningProfile, PendingDeletion
from schemas import Command


def forget(
    builder: StepBuilder,
    record: ConsumerRecord,
    command: Command,
    keys: Sequence[ProfileKey],
    held: Sequence[ProfileKey],
) -> bool:
    """One of the two turns of a ``forget``.

    Args:
        keys: what the command may mean on this partition.
        held: those of them that are known.

    Returns:
        False where the Step must end before the command: it was the first turn.
    """
    if held:
        for key in held:
            begin_deletion(builder, key, "command", command.command_id, record.offset)
        return False
    for key in keys:
        begun = builder.forgetting(key)
        if begun is not None and begun.command_offset == record.offset:
            complete_deletion(builder, key, begun)
    return True


def complete_expired(builder: StepBuilder) -> None:
    """The second turn of whatever was forgotten for its silence, before all else."""
    for key, note in builder.state.forgettings.items():
        if note.command_offset is None:
            complete_deletion(builder, key, note)


def begin_expired(builder: StepBuilder, expired: Iterable[ProfileKey]) -> None:
    """The first turn for some of those that are silent for too long, unless the batch has them."""
    silent = [key for key in expired if not builder.heard(key)]
    builder.recall(silent)
    for key in silent:
        if builder.profile(key) is not None:
            partition, kind, _ = key
            # What was learnt from where: no two learnings of a partition have it in common.
            begin_deletion(
                builder, key, "ttl", f"ttl-{kind}-{partition}-{builder.generation(key)}", None
            )


def begin_deletion(
    builder: StepBuilder, key: ProfileKey, trigger: str, command_id: str, command_offset: int | None
) -> None:
    """The first turn: clear the keys, tell the retrainer, note what is still to be done.

    Args:
        trigger: ``command`` or ``ttl``.
        command_offset: where the command stands; None where there is none.
    """
    partition, kind, profile_id = key
    topics, outputs = builder.context.topics, builder.step.outputs
    profile = builder.profile(key)
    active = profile.record if isinstance(profile, ActiveProfile) else None
    slots: list[ProducerRecord] = []
    if isinstance(profile, LearningProfile):
        slots = ring.tombstones(topics.cold_start, key, profile.ring)
    shift = builder.shift(key)
    if shift is not None:
        slots += builder.drop_shift(key, shift)
    builder.delta.names[key] = None
    online: list[ProducerRecord] = []
    if KINDS[kind].timed:
        online = [online_record(builder, key, 0, None)]
    announced = [] if active is None else [(active.version, active.sha256)]
    announced += [] if active is None else [(old.version, old.sha256) for old in active.history]
    begun = PendingDeletion(
        command_id,
        command_offset,
        builder.generation(key) or 0,
        None if active is None else active.version,
        {
            "trigger": trigger,
            "cold_start_slots": len(slots),
            "versions": [{"version": version, "sha256": digest} for version, digest in announced],
            "last_learnt_offset": None if active is None else active.source_offset,
            "maintenance_window": builder.suppression(key) is not None,
            "command_offset": command_offset,
        },
    )
    outputs.append(builder.mark(key, "forget", command_id=command_id))
    # A profile that learns anew after its model was lost still has an announcement.
    outputs.append(ProducerRecord(topics.models, None, f"{kind}:{profile_id}".encode(), partition))
    outputs += [*slots, *online]
    builder.emit_note(key, begun)
    builder.delta.profiles[key] = None
    builder.delta.suppressions[key] = None
    builder.delta.forgettings[key] = begun


def complete_deletion(builder: StepBuilder, key: ProfileKey, begun: PendingDeletion) -> None:
    """The second turn: delete the artefacts, give the receipt, clear the note."""
    partition, kind, profile_id = key
    directory = profile_directory(kind, profile_id, partition)
    deleted = builder.context.erase(directory, begun.generation)
    why = "silent for too long: " if begun.command_offset is None else ""
    builder.emit_lifecycle(
        key,
        "forgotten",
        f"{why}{len(begun.figures['versions'])} versions, {begun.figures['cold_start_slots']} "
        f"learning samples and {len(deleted)} files are deleted; other topics age out",
        command_id=begun.command_id,
        generation=begun.generation,
        version=begun.version,
        figures={
            **begun.figures,
            "artifacts": deleted,
            "ages_out_ms": dict(builder.context.retention()),
        },
    )
    builder.emit_note(key, None)
    builder.delta.forgettings[key] = None
    builder.count("forgotten", kind, "command" if why == "" else "ttl")
    if begun.command_offset is not None:
        builder.count("commands", "forget", "done")
