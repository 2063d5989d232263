"""Confluent's wire format: which schema wrote a value, in its first bytes or in a header."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

HEADER: Final = "__value_schema_id"
MOST_INDEXES: Final = 64


class Unframed(ValueError):
    """Bytes that are not in the wire format; the message says why."""


class SchemaId(NamedTuple):
    """How a record names its schema: by number or by GUID; one of them is None."""

    number: int | None
    guid: str | None

    def __str__(self) -> str:
        return f"id {self.number}" if self.guid is None else f"GUID {self.guid}"


class Framed(NamedTuple):
    """A value without its frame.

    Attributes:
        indexes: Protobuf's path to the message: place in the file, then inside that message.
    """

    schema: SchemaId
    indexes: tuple[int, ...]
    data: bytes


def unframe(value: bytes, header: bytes | None, *, protobuf: bool) -> Framed:
    """Take a value out of its frame.

    Args:
        header: the value of ``HEADER``, which then carries the whole frame; None if there is none.
        protobuf: whether the indexes of a message follow.

    Raises:
        Unframed: it is in none.
    """
    framed = value if header is None else header
    where = "value" if header is None else HEADER
    if not framed:
        raise Unframed(f"{where}: expected Confluent's wire format, got no bytes")
    magic = framed[0]
    if magic == 0 and len(framed) >= 5:
        schema, at = SchemaId(int.from_bytes(framed[1:5], "big"), None), 5
    elif magic == 1 and len(framed) >= 17:
        schema, at = SchemaId(None, str(UUID(bytes=framed[1:17]))), 17
    else:
        raise Unframed(
            f"{where}: expected Confluent's wire format (0 and an id of 4 bytes, or 1 and a GUID "
            f"of 16), got {len(framed)} bytes that begin with {magic}"
        )
    indexes: tuple[int, ...] = ()
    if protobuf:
        indexes, at = _indexes(framed, at, where)
    return Framed(schema, indexes, value if header is not None else value[at:])


def _indexes(framed: bytes, at: int, where: str) -> tuple[tuple[int, ...], int]:
    """The message's indexes and where they end; a single 0 stands for the first message."""
    if at >= len(framed) and where == HEADER:
        return (0,), at
    count, at = _varint(framed, at, where)
    if count == 0:
        return (0,), at
    if not 0 < count <= MOST_INDEXES:
        raise Unframed(f"{where}: expected indexes of a Protobuf message, got {count} of them")
    found = []
    for _ in range(count):
        index, at = _varint(framed, at, where)
        found.append(index)
    return tuple(found), at


def _varint(framed: bytes, at: int, where: str) -> tuple[int, int]:
    """A zigzag varint and where it ends."""
    value = shift = 0
    while at < len(framed) and shift < 35:
        byte = framed[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise Unframed(f"{where}: expected indexes of a Protobuf message, got no whole number")
