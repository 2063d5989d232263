"""Commands of operators, executed by the scorer that owns the profile."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from models.artifacts import profile_directory
from models.features import KINDS
from processor import ring
from processor.announcements import announce, lifecycle, return_to
from processor.draft import Draft
from processor.records import Incoming, Outgoing, ProfileKey
from processor.state import Active, Learning, Suppression
from schemas import (
    Command,
    CommandName,
    HistoryEntry,
    InvalidJson,
    Mark,
    ModelRecord,
    parse_object,
)

FOREVER_MS = 253_402_300_799_999
MAX_COMMAND_BYTES = 64 * 1024
"""What a command says comes back in receipts, which must fit their topic."""


def execute(draft: Draft, record: Incoming) -> None:
    """Do what a command asks for each profile of it that this partition holds.

    A command goes to every partition; one that does not hold the profile stays silent.
    """
    try:
        if len(record.value or b"") > MAX_COMMAND_BYTES:
            raise InvalidJson(f"more than {MAX_COMMAND_BYTES} bytes")
        command = Command.model_validate(parse_object(record.value or b""))
    except (InvalidJson, ValidationError):
        draft.step.count("commands", "unknown", "invalid")
        return
    for kind in KINDS if command.kind is None else (command.kind,):
        key = (record.partition, kind, command.profile_id)
        if draft.profile(key) is not None or draft.suppression(key) is not None:
            why = DO[command.command](draft, key, command)
            draft.step.count("commands", command.command, "rejected" if why else "done")
            if why:
                reply(draft, key, command, "command_rejected", why)


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
    draft.step.outputs.append(_profile_record(draft, key, value))
    reply(
        draft, key, command, "suppressed", f"until {until}: {command.reason or 'no reason given'}"
    )
    return None


def _resume(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    if draft.suppression(key) is None:
        return "the profile is not suppressed"
    draft.step.suppressions[key] = None
    draft.step.outputs.append(_profile_record(draft, key, None))
    reply(
        draft, key, command, "resumed", "verdicts alert again, and normal records are learnt from"
    )
    return None


def _profile_record(draft: Draft, key: ProfileKey, value: bytes | None) -> Outgoing:
    partition, kind, profile_id = key
    return Outgoing(draft.rules.topics.profiles, partition, f"{kind}:{profile_id}".encode(), value)


def _mark(draft: Draft, key: ProfileKey, word: str) -> None:
    partition, kind, profile_id = key
    generation = draft.generation(key)
    mark = Mark.model_validate(
        {"mark": word, "profile_id": profile_id, "kind": kind, "generation": generation or 0}
    )
    topic = draft.rules.topics.accepted
    value = mark.model_dump_json().encode()
    draft.step.outputs.append(Outgoing(topic, partition, profile_id.encode(), value))


def _forget(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    partition, kind, profile_id = key
    profile = draft.profile(key)
    _mark(draft, key, "forget")
    # A profile that learns anew after its model was lost still has an announcement.
    place = f"{kind}:{profile_id}".encode()
    draft.step.outputs.append(Outgoing(draft.rules.topics.models, partition, place, None))
    if isinstance(profile, Learning):
        topic = draft.rules.topics.cold_start
        draft.step.outputs += ring.tombstones(topic, key, profile.ring)
    if draft.suppression(key) is not None:
        draft.step.outputs.append(_profile_record(draft, key, None))
    reply(draft, key, command, "forgotten", "models, samples and maintenance window are deleted")
    draft.step.profiles[key] = None
    draft.step.suppressions[key] = None
    draft.step.erasures.append(profile_directory(kind, profile_id, partition))
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
    _mark(draft, key, "rollback")
    detail = f"version {restored.version} is version {wanted.version} again"
    reply(draft, key, command, "rolled_back", detail)
    return None


def _earlier(history: list[HistoryEntry], version: int | None) -> HistoryEntry | None:
    if version is None:
        return history[0] if history else None
    return next((old for old in history if old.version == version), None)


def _retrain(draft: Draft, key: ProfileKey, command: Command) -> str | None:
    if not isinstance(draft.profile(key), Active):
        return "the profile has no model yet"
    _mark(draft, key, "retrain")
    reply(draft, key, command, "retrain_requested", "the retrainer trains on what it has pooled")
    return None


DO = {
    CommandName.FORGET: _forget,
    CommandName.RETRAIN: _retrain,
    CommandName.ROLLBACK: _rollback,
    CommandName.SUPPRESS: _suppress,
    CommandName.RESUME: _resume,
}
