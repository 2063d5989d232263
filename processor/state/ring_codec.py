"""Slots: the format of the rings of samples in the compacted topics ``cold-start`` and
``retrain-pool``.

A slot holds the samples of one telemetry record, so a record is never split. Its key is
``kind:profile_id:slot``; the ring writes slot ``number mod capacity``, compaction keeps the newest.
The place ``HEAD`` is no slot: there a pool keeps its counters, and the scorer the online state of a
profile whose detector judges points in their order.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

FORMAT, TIMED = 1, 2
"""Of a slot without times, and with them."""
READ = (FORMAT, TIMED)
HEAD = -1
LONGEST_SLOT = 11
"""Characters of a slot's number in a key."""

_HEADER = struct.Struct("<BqqqqHI")  # format, generation, number, before, offset, columns, rows
_VALUES = np.dtype("<f8")

Floats = NDArray[np.float64]


_ONLINE = struct.Struct("<Bq")  # format, generation


class SlotError(ValueError):
    """A slot that this version cannot read."""


class Slot(NamedTuple):
    """The samples of one record in a ring.

    A plain tuple: a restart makes a million of them.

    Attributes:
        generation: telemetry offset of the record that began this learning.
        number: running number of the record in the ring, from 0.
        before: samples counted before this record.
        offset: telemetry offset of the record.
        rows: float64, shape (samples, features).
        names: names of the features in their order; in slot 0, and where new ones came.
        times: float64, shape (samples,), of kinds whose samples have times; else None.
    """

    generation: int
    number: int
    before: int
    offset: int
    rows: Floats
    names: tuple[str, ...] | None = None
    times: Floats | None = None


def encode_slot(slot: Slot) -> bytes:
    """The value of a slot."""
    rows, columns = slot.rows.shape
    form = FORMAT if slot.times is None else TIMED
    head = _HEADER.pack(form, slot.generation, slot.number, slot.before, slot.offset, columns, rows)
    numbers = np.ascontiguousarray(slot.rows, dtype="<f8").tobytes()
    if slot.times is not None:
        numbers += np.ascontiguousarray(slot.times, dtype="<f8").tobytes()
    names = b"" if slot.names is None else orjson.dumps(slot.names)
    return head + numbers + names


def decode_slot(value: bytes) -> Slot:
    """Read a slot's value.

    Raises:
        SlotError: of another format, or damaged.
    """
    if not value or value[0] not in READ:
        expected = " or ".join(map(str, READ))
        raise SlotError(f"slot of format {value[:1].hex() or 'none'}, expected {expected}")
    try:
        _, generation, number, before, offset, columns, rows = _HEADER.unpack_from(value)
        end = _HEADER.size + 8 * rows * columns
        # A view: copying each of a million slots would be felt at a restart.
        matrix = np.ndarray((rows, columns), _VALUES, value, _HEADER.size)
        times = None
        if value[0] == TIMED:
            times = np.ndarray((rows,), _VALUES, value, end)
            end += times.nbytes
        names = None if len(value) == end else orjson.loads(value[end:])
    except (struct.error, TypeError, ValueError) as error:
        raise SlotError(f"damaged slot: {error}") from None
    if names is not None:
        if not isinstance(names, list) or len(names) != columns:
            raise SlotError(f"damaged slot: its names are not {columns}")
        names = tuple(map(str, names))
    return Slot(generation, number, before, offset, matrix, names, times)


def encode_online(generation: int, state: bytes) -> bytes:
    """The online state of an active profile, as the scorer keeps it at the place ``HEAD``."""
    return _ONLINE.pack(FORMAT, generation) + state


def decode_online(value: bytes) -> tuple[int, bytes]:
    """Generation and online state.

    Raises:
        SlotError: of another format, or damaged.
    """
    if not value or value[0] != FORMAT:
        raise SlotError(f"online state of format {value[:1].hex() or 'none'}, expected {FORMAT}")
    if len(value) < _ONLINE.size:
        raise SlotError("damaged online state: too short")
    _, generation = _ONLINE.unpack_from(value)
    return generation, value[_ONLINE.size :]


def key(kind: str, profile_id: str, slot: int) -> bytes:
    """The key of a slot."""
    return f"{kind}:{profile_id}:{slot}".encode()


def parse_key(value: bytes) -> tuple[str, str, int]:
    """Kind, profile and slot of a key.

    Raises:
        SlotError: not the key of a slot.
    """
    try:
        kind, _, rest = value.decode("utf-8").partition(":")
        profile_id, _, slot = rest.rpartition(":")
        if len(slot) > LONGEST_SLOT:
            raise ValueError
        return kind, profile_id, int(slot)
    except ValueError:
        raise SlotError("not a slot's key: expected <kind>:<profile_id>:<slot>") from None
