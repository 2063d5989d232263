"""Codec of the topic ``profiles``: what must outlive a process, beside models and samples.

A record's key is ``<kind>:<profile_id>``, ``shift:<kind>:<profile_id>``, or ``EXECUTED``, once a
partition.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import orjson

from processor.state.profiles import PendingDeletion, Suppression
from processor.state.shifts import Shift

FORMAT = 1
EXECUTED = b"commands"
"""Key of the record that says how far the commands of a partition are executed."""


SHIFT = b"shift:"
"""Before the key of what is kept of a shift; no kind has that name."""


class Executed(NamedTuple):
    """Offset of the newest command of a partition that is executed."""

    offset: int


class ShiftNote(NamedTuple):
    """What the ring of a shift does not say itself.

    Attributes:
        generation: of the profile.
        begins: number in the ring of the first record that belongs to the new normal.
        ends: number of the first that does not; None while the profile is shifted.
        since: verdict id of the first abnormal record, while the profile is shifted.
        held_until: epoch milliseconds.
        renamed: it is other names that are learnt.
        level: center and width of the new level, of a detector that follows it by itself.
    """

    generation: int
    begins: int
    ends: int | None
    since: str | None
    held_until: int | None
    renamed: bool = False
    level: tuple[float, float] | None = None

    @classmethod
    def of(cls, shift: Shift) -> Self:
        """What is to be kept of a shift."""
        ends = None if shift.told else shift.watched
        level = shift.level.level if shift.level and (shift.told or shift.adopted) else None
        return cls(
            shift.ring.generation,
            shift.begins,
            ends,
            shift.since,
            shift.held_until,
            shift.renamed,
            level and (level.center, level.width),
        )


Note = Suppression | PendingDeletion | Executed | ShiftNote


def note_key(kind: str, profile_id: str) -> bytes:
    """The key of a maintenance window, or of what is being forgotten."""
    return f"{kind}:{profile_id}".encode()


def shift_key(kind: str, profile_id: str) -> bytes:
    """The key of what is kept of a shift."""
    return SHIFT + note_key(kind, profile_id)


def encode_note(note: Note) -> bytes:
    """The value of a record."""
    return orjson.dumps({"format": FORMAT, **_fields(note)})


def _fields(note: Note) -> dict[str, Any]:
    match note:
        case Executed(offset):
            return {"commands": offset}
        case ShiftNote():
            left_out = () if note.level else ("level",)
            return {"shift": {k: v for k, v in note._asdict().items() if k not in left_out}}
        case Suppression():
            return {"until": note.until, "reason": note.reason}
        case _:
            return {
                "forgetting": {
                    "command_id": note.command_id,
                    "command_offset": note.command_offset,
                    "generation": note.generation,
                    "version": note.version,
                    "figures": dict(note.figures),
                }
            }


def decode_note(key: bytes, value: bytes) -> Note:
    """What a record says.

    Raises:
        ValueError: it is damaged.
    """
    try:
        held = orjson.loads(value)
        if key == EXECUTED:
            return Executed(int(held["commands"]))
        if key.startswith(SHIFT):
            return _shift(held["shift"])
        if "forgetting" in held:
            return _deletion(held["forgetting"])
        until, reason = held["until"], held.get("reason")
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if type(until) is not int or not isinstance(reason, str | None):
        raise ValueError("expected until as an integer, and reason as text or null")
    return Suppression(until, reason)


def _shift(held: dict[str, Any]) -> ShiftNote:
    ends, since, until = held["ends"], held["since"], held["held_until"]
    level = held.get("level")
    return ShiftNote(
        int(held["generation"]),
        int(held["begins"]),
        None if ends is None else int(ends),
        None if since is None else str(since),
        None if until is None else int(until),
        held.get("renamed") is True,
        None if level is None else (float(level[0]), float(level[1])),
    )


def _deletion(held: dict[str, Any]) -> PendingDeletion:
    return PendingDeletion(
        str(held["command_id"]),
        None if held["command_offset"] is None else int(held["command_offset"]),
        int(held["generation"]),
        held["version"],
        dict(held["figures"]),
    )
