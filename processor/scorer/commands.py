"""Commands of operators, executed by the scorer that owns the profile."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from models.features import KINDS
from processor.lifecycle import lifecycle_record
from processor.records import (
    INVALID_HEADERS,
    UNREADABLE_HEADERS,
    ConsumerRecord,
    Partition,
    ProducerRecord,
    ProfileKey,
)
from processor.scorer import forget
from processor.scorer.cold_start import train_now
from processor.scorer.regime.adoption import adopt_shift, hold_shift
from processor.scorer.step_builder import StepBuilder
from processor.scorer.versions import go_back, rollback_record
from processor.state.profile_codec import EXECUTED, Executed, encode_note
from processor.state.profiles import ActiveProfile, Suppression
from processor.topics import Topics
from schemas import (
    Command,
    CommandName,
    HistoryEntry,
    InvalidJson,
    LifecycleEvent,
    ModelRecord,
    explain,
    parse_object,
)
from schemas.base import MAX_ID_BYTES, id_fault

FOREVER_MS = 253_402_300_799_999
MAX_REASON = 1000
MAX_COMMAND_BYTES = 64 * 1024
"""What a command says comes back in receipts, which must fit their topic."""


def execute(builder: StepBuilder, record: ConsumerRecord) -> bool:
    """Do what a command asks for each profile of it that this partition holds.

    A command goes to every partition; one that does not hold the profile stays silent.

    Returns:
        False where the Step must end before the command, which is read again in the next one.
    """
    command = read_command(record)
    if isinstance(command, str):
        builder.count("commands", "unknown", "invalid")
        reject_command(builder, record, command)
        return True
    kinds = tuple(KINDS) if command.kind is None else (command.kind,)
    keys = [(record.partition, kind, command.profile_id) for kind in kinds]
    builder.recall(keys)
    held = [key for key in keys if builder.profile(key) or builder.suppression(key)]
    if command.command == CommandName.FORGET:
        return forget.forget(builder, record, command, keys, held)
    for key in held:
        why = HANDLERS[command.command](builder, key, command)
        builder.count("commands", command.command, "rejected" if why else "done")
        if why:
            emit_receipt(builder, key, command, "command_rejected", why)
    return True


def executed(offsets: Mapping[Partition, int], topics: Topics) -> list[ProducerRecord]:
    """Records of ``profiles`` that say how far the commands of each partition are executed.

    A ``forget`` that offsets moved by hand bring back would meet the profile that was learnt since.

    Args:
        offsets: next offset of each input partition.
    """
    return [
        ProducerRecord(
            topics.profiles,
            encode_note(Executed(following - 1)),
            EXECUTED,
            partition,
        )
        for (topic, partition), following in offsets.items()
        if topic == topics.commands and following
    ]


def read_command(record: ConsumerRecord) -> Command | str:
    """The command of a record, or what is wrong with it."""
    if record.headers is UNREADABLE_HEADERS:
        return INVALID_HEADERS.detail
    try:
        if len(record.value or b"") > MAX_COMMAND_BYTES:
            return f"more than {MAX_COMMAND_BYTES} bytes"
        command = Command.model_validate(parse_object(record.value or b""))
    except InvalidJson as error:
        return f"value: {error}"
    except ValidationError as error:
        return explain(error)
    if command.kind not in (None, *KINDS):
        return f"kind: expected one of {', '.join(KINDS)}, or null"
    for field, text in (("profile_id", command.profile_id), ("command_id", command.command_id)):
        fault = id_fault(text)
        if fault is not None:
            return f"{field}: {fault}"
    if command.profile_id.encode() != record.key:
        return "profile_id: expected the record's key"
    return command


def reject_command(builder: StepBuilder, record: ConsumerRecord, why: str) -> None:
    """Say that a record of ``commands`` is none, under as much of its key as an id may have."""
    key = (record.key or b"")[:MAX_ID_BYTES]
    said = LifecycleEvent(
        event="command_rejected",
        profile_id=key.decode(errors="replace"),
        role="scorer",
        detail=f"{record.topic} [{record.partition}] at offset {record.offset}: {why[:MAX_REASON]}",
        at=builder.now,
    )
    topic = builder.context.topics.lifecycle
    builder.emit(lifecycle_record(topic, said, record.partition, key))


def emit_receipt(
    builder: StepBuilder, key: ProfileKey, command: Command, event: str, detail: str
) -> None:
    profile = builder.profile(key)
    active = profile.record if isinstance(profile, ActiveProfile) else None
    builder.emit_lifecycle(
        key,
        event,
        detail,
        command_id=command.command_id,
        generation=builder.generation(key),
        version=None if active is None else active.version,
    )


def _suppress(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    until = FOREVER_MS if command.until is None else command.until
    if until <= builder.now:
        return f"until: expected a time to come, got {until}"
    window = Suppression(until, command.reason)
    builder.delta.suppressions[key] = window
    builder.emit_note(key, window)
    emit_receipt(
        builder, key, command, "suppressed", f"until {until}: {command.reason or 'no reason given'}"
    )
    return None


def _resume(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    if builder.suppression(key) is None:
        return "the profile is not suppressed"
    builder.delta.suppressions[key] = None
    builder.emit_note(key, None)
    emit_receipt(
        builder, key, command, "resumed", "verdicts alert again, and normal records are learnt from"
    )
    return None


def _rollback(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    profile = builder.profile(key)
    if not isinstance(profile, ActiveProfile):
        return "the profile has no model yet"
    current = profile.record
    wanted = _earlier(current.history, command.version)
    if wanted is None:
        known = ", ".join(str(old.version) for old in current.history) or "none"
        return f"version {command.version or 'before'} is not kept; kept are: {known}"
    restored = rollback_record(builder, key, current, wanted)
    if not isinstance(restored, ModelRecord):
        return str(restored)
    go_back(builder, key, current, restored.model_copy(update={"pool_count": 0}))
    told = {"version": restored.version, "command_id": command.command_id}
    builder.emit(builder.mark(key, "rollback", **told))
    detail = f"version {restored.version} is version {wanted.version} again"
    if current.trigger == "shift":
        hold_shift(builder, key, FOREVER_MS)
        detail += "; held: a new normal is not learnt until `telltale profile adopt` says so"
    emit_receipt(builder, key, command, "rolled_back", detail)
    return None


def _train(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    return train_now(builder, key, command.command_id)


def _adopt(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    return adopt_shift(builder, key, command.command_id)


def _hold(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    if not isinstance(builder.profile(key), ActiveProfile):
        return "the profile has no model yet"
    until = FOREVER_MS if command.until is None else command.until
    if until <= builder.now:
        return f"until: expected a time to come, got {until}"
    hold_shift(builder, key, until)
    detail = f"until {until}: {command.reason or 'no reason given'}; a new normal is not learnt"
    emit_receipt(builder, key, command, "held", detail)
    return None


def _earlier(history: list[HistoryEntry], version: int | None) -> HistoryEntry | None:
    if version is None:
        return history[0] if history else None
    return next((old for old in history if old.version == version), None)


def _retrain(builder: StepBuilder, key: ProfileKey, command: Command) -> str | None:
    profile = builder.profile(key)
    if not isinstance(profile, ActiveProfile):
        return "the profile has no model yet"
    told = {"version": profile.record.version, "command_id": command.command_id}
    builder.emit(builder.mark(key, "retrain", **told))
    emit_receipt(
        builder, key, command, "retrain_requested", "the retrainer trains on what it has pooled"
    )
    return None


HANDLERS = {
    CommandName.RETRAIN: _retrain,
    CommandName.ROLLBACK: _rollback,
    CommandName.SUPPRESS: _suppress,
    CommandName.RESUME: _resume,
    CommandName.TRAIN: _train,
    CommandName.ADOPT: _adopt,
    CommandName.HOLD: _hold,
}
