"""Codec of the topic ``profiles``: what must outlive a process, beside models and samples.

A record's key is ``<kind>:<profile_id>``, or ``EXECUTED``, once a partition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from processor.state.profiles import PendingDeletion, Suppression

FORMAT = 1
EXECUTED = b"commands"
"""Key of the record that says how far the commands of a partition are executed."""


class Executed(NamedTuple):
    """Offset of the newest command of a partition that is executed."""

    offset: int


Note = Suppression | PendingDeletion | Executed


def encode_note(note: Note) -> bytes:
    """The value of a record."""
    return orjson.dumps({"format": FORMAT, **_fields(note)})


def _fields(note: Note) -> dict[str, Any]:
    match note:
        case Executed(offset):
            return {"commands": offset}
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
        if "forgetting" in held:
            return _deletion(held["forgetting"])
        until, reason = held["until"], held.get("reason")
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if type(until) is not int or not isinstance(reason, str | None):
        raise ValueError("expected until as an integer, and reason as text or null")
    return Suppression(until, reason)


def _deletion(held: dict[str, Any]) -> PendingDeletion:
    return PendingDeletion(
        str(held["command_id"]),
        None if held["command_offset"] is None else int(held["command_offset"]),
        int(held["generation"]),
        held["version"],
        dict(held["figures"]),
    )
