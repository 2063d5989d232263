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

from collections.abc import Sequence
from typing import Any

import orjson

from models.artifacts import profile_directory
from processor import ring
from processor.announcements import lifecycle, mark, profile_record
from processor.draft import Draft
from processor.records import Incoming, Outgoing, ProfileKey
from processor.state import Active, Forgetting, Learning
from schemas import Command

FORMAT = 1
SILENT_AT_A_TIME = 20
"""Profiles forgotten in one Step for their silence: their artefacts may lie far away."""


def forget(
    draft: Draft,
    record: Incoming,
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
            clear(draft, key, "command", command.command_id, record.offset)
        return False
    for key in keys:
        begun = draft.forgetting(key)
        if begun is not None and begun.command_offset == record.offset:
            finish(draft, key, begun)
    return True


def finish_silent(draft: Draft) -> None:
    """The second turn of whatever was forgotten for its silence, before all else."""
    for key, note in draft.state.forgettings.items():
        if note.command_offset is None:
            finish(draft, key, note)


def forget_silent(draft: Draft) -> None:
    """The first turn for some of those that are silent for too long, unless the batch has them."""
    silent = [key for key in draft.rules.silent(SILENT_AT_A_TIME) if not draft.heard(key)]
    draft.recall(silent)
    for key in silent:
        if draft.profile(key) is not None:
            partition, kind, _ = key
            # What was learnt from where: no two learnings of a partition have it in common.
            clear(draft, key, "ttl", f"ttl-{kind}-{partition}-{draft.generation(key)}", None)


def clear(
    draft: Draft, key: ProfileKey, trigger: str, command_id: str, command_offset: int | None
) -> None:
    """The first turn: clear the keys, tell the retrainer, note what is still to be done.

    Args:
        trigger: ``command`` or ``ttl``.
        command_offset: where the command stands; None where there is none.
    """
    partition, kind, profile_id = key
    topics, outputs = draft.rules.topics, draft.step.outputs
    profile = draft.profile(key)
    active = profile.record if isinstance(profile, Active) else None
    slots: list[Outgoing] = []
    if isinstance(profile, Learning):
        slots = ring.tombstones(topics.cold_start, key, profile.ring)
    announced = [] if active is None else [(active.version, active.sha256)]
    announced += [] if active is None else [(old.version, old.sha256) for old in active.history]
    begun = Forgetting(
        command_id,
        command_offset,
        draft.generation(key) or 0,
        None if active is None else active.version,
        {
            "trigger": trigger,
            "cold_start_slots": len(slots),
            "versions": [{"version": version, "sha256": digest} for version, digest in announced],
            "last_learnt_offset": None if active is None else active.source_offset,
            "maintenance_window": draft.suppression(key) is not None,
            "command_offset": command_offset,
        },
    )
    outputs.append(mark(draft, key, "forget", command_id=command_id))
    # A profile that learns anew after its model was lost still has an announcement.
    outputs.append(Outgoing(topics.models, None, f"{kind}:{profile_id}".encode(), partition))
    outputs += slots
    outputs.append(profile_record(draft, key, encode(begun)))
    draft.step.profiles[key] = None
    draft.step.suppressions[key] = None
    draft.step.forgettings[key] = begun


def finish(draft: Draft, key: ProfileKey, begun: Forgetting) -> None:
    """The second turn: delete the artefacts, give the receipt, clear the note."""
    partition, kind, profile_id = key
    directory = profile_directory(kind, profile_id, partition)
    deleted = draft.rules.erase(directory, begun.generation)
    why = "silent for too long: " if begun.command_offset is None else ""
    lifecycle(
        draft,
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
            "ages_out_ms": dict(draft.rules.retention()),
        },
    )
    draft.step.outputs.append(profile_record(draft, key, None))
    draft.step.forgettings[key] = None
    draft.step.count("forgotten", kind, "command" if why == "" else "ttl")
    if begun.command_offset is not None:
        draft.step.count("commands", "forget", "done")


def encode(begun: Forgetting) -> bytes:
    """The note in ``profiles``."""
    return orjson.dumps(
        {
            "format": FORMAT,
            "forgetting": {
                "command_id": begun.command_id,
                "command_offset": begun.command_offset,
                "generation": begun.generation,
                "version": begun.version,
                "figures": dict(begun.figures),
            },
        }
    )


def decode(note: dict[str, Any]) -> Forgetting:
    """What a note says.

    Raises:
        KeyError, TypeError: it is damaged.
    """
    return Forgetting(
        str(note["command_id"]),
        None if note["command_offset"] is None else int(note["command_offset"]),
        int(note["generation"]),
        note["version"],
        dict(note["figures"]),
    )
