"""Commands of operators, executed by the scorer that owns the profile."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor import forgetting
from processor.announcements import announce, lifecycle, mark, profile_record, return_to
from processor.draft import Draft
from processor.records import Incoming, Outgoing, ProfileKey
from processor.state import Active, Suppression
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

FOREVER_MS = 253_402_300_799_999
MAX_NAME = 1000
MAX_COMMAND_BYTES = 64 * 1024
"""What a command says comes back in receipts, which must fit their topic."""


def execute(draft: Draft, record: Incoming) -> bool:
    """Do what a command asks for each profile of it that this partition holds.

    A command goes to every partition; one that does not hold the profile stays silent.

    Returns:
        False where the Step must end before the command, which is read again in the next one.
    """
    command = read(record)
    if isinstance(command, str):
        draft.step.count("commands", "unknown", "invalid")
        reject(draft, record, command)
        return True
    kinds = tuple(KINDS) if command.kind is None else (command.kind,)
    keys = [(record.partition, kind, command.profile_id) for kind in kinds]
    draft.recall(keys)
    held = [key for key in keys if draft.profile(key) or draft.suppression(key)]
    if command.command == CommandName.FORGET:
        return forgetting.forget(draft, record, command, keys, held)
    for key in held:
        why = DO[command.command](draft, key, command)
        draft.step.count("commands", command.command, "rejected" if why else "done")
        if why:
            reply(draft, key, command, "command_rejected", why)
    return True


def read(record: Incoming) -> Command | str:
    """The command of a record, or what is wrong with it."""
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
    return command


def reject(draft: Draft, record: Incoming, why: str) -> None:
    """Say that a record of ``commands`` is none, under the key that it has."""
    profile_id = (record.key or b"").decode(errors="replace")[:MAX_NAME]
    said = LifecycleEvent(
        event="command_rejected",
        profile_id=profile_id,
        role="scorer",
        detail=f"{record.topic} [{record.partition}] at offset {record.offset}: {why[:MAX_NAME]}",
        at=draft.now,
    )
    topic = draft.rules.topics.lifecycle
    draft.step.outputs.append(
        Outgoing(topic, said.model_dump_json().encode(), record.key, record.partition)
    )


def reply(draft: Draft, key: ProfileKey, command: Command, event: str, detail: str) -> None:
    profile = draft.profile(key)
    active = profile.record if isinstance(profile, Active) else None
    lifecycle(
        draft,
        key,
        event,
        detail,
        command_id=command.command_id,
        generation=draft.generation(key),
        version=None if active is None else active.version,
    )


def _suppress(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    until = FOREVER_MS if command.until is None else command.until
    if until <= draft.now:
        return f"until: expected a time to come, got {until}"
    window = Suppression(until, command.reason)
    draft.step.suppressions[key] = window
    value = orjson.dumps({"format": 1, "until": until, "reason": command.reason})
    draft.step.outputs.append(profile_record(draft, key, value))
    reply(
        draft, key, command, "suppressed", f"until {until}: {command.reason or 'no reason given'}"
    )
    return None


def _resume(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    if draft.suppression(key) is None:
        return "the profile is not suppressed"
    draft.step.suppressions[key] = None
    draft.step.outputs.append(profile_record(draft, key, None))
    reply(
        draft, key, command, "resumed", "verdicts alert again, and normal records are learnt from"
    )
    return None


def _rollback(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    profile = draft.profile(key)
    if not isinstance(profile, Active):
        return "the profile has no model yet"
    current = profile.record
    wanted = _earlier(current.history, command.version)
    if wanted is None:
        known = ", ".join(str(old.version) for old in current.history) or "none"
        return f"version {command.version or 'before'} is not kept; kept are: {known}"
    restored = return_to(draft, current, wanted)
    if not isinstance(restored, ModelRecord):
        return str(restored)
    announce(draft, key, restored.model_copy(update={"pool_count": 0}))
    told = {"version": restored.version, "command_id": command.command_id}
    draft.step.outputs.append(mark(draft, key, "rollback", **told))
    detail = f"version {restored.version} is version {wanted.version} again"
    reply(draft, key, command, "rolled_back", detail)
    return None


def _earlier(history: list[HistoryEntry], version: int | None) -> HistoryEntry | None:
    if version is None:
        return history[0] if history else None
    return next((old for old in history if old.version == version), None)


def _retrain(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    profile = draft.profile(key)
    if not isinstance(profile, Active):
        return "the profile has no model yet"
    told = {"version": profile.record.version, "command_id": command.command_id}
    draft.step.outputs.append(mark(draft, key, "retrain", **told))
    reply(draft, key, command, "retrain_requested", "the retrainer trains on what it has pooled")
    return None


DO = {
    CommandName.RETRAIN: _retrain,
    CommandName.ROLLBACK: _rollback,
    CommandName.SUPPRESS: _suppress,
    CommandName.RESUME: _resume,
}
