"""Rings of samples in a compacted topic: a profile's cold start, and its pool of accepted samples.

A new record writes one slot, never the whole ring again; compaction keeps the newest of each slot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from processor import slots
from processor.records import Outgoing, ProfileKey
from processor.slots import Slot

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ring:
    """The newest records of samples of one generation of a profile.

    Attributes:
        generation: telemetry offset of the record that gave the first sample.
        names: names of the features, in order.
        slots: what it holds, oldest first.
        used: numbers of the slots that the changelog holds, stale ones included.
        records: records that went into it so far, overwritten ones included.
        seen: samples that went into it so far.
    """

    generation: int
    names: tuple[str, ...]
    slots: tuple[Slot, ...] = ()
    used: frozenset[int] = frozenset()
    records: int = 0
    seen: int = 0

    def samples(self) -> Floats:
        """The samples held, oldest first, shape (n, features)."""
        if not self.slots:
            return np.empty((0, len(self.names)))
        return np.concatenate([slot.rows for slot in self.slots])


def append(ring: Ring, offset: int, rows: Floats, *, capacity: int) -> tuple[Ring, Slot]:
    """The ring with the samples of one more record, and the slot that stores them.

    Args:
        offset: offset of the record.
        rows: shape (samples, features).
        capacity: records that the ring holds.
    """
    place = ring.records % capacity
    names = ring.names if place == 0 else None
    slot = Slot(ring.generation, ring.records, ring.seen, offset, rows, names)
    grown = replace(
        ring,
        slots=(*ring.slots, slot)[-capacity:],
        used=ring.used | {place},
        records=ring.records + 1,
        seen=ring.seen + rows.shape[0],
    )
    return grown, slot


def changelog(topic: str, key: ProfileKey, slot: Slot, capacity: int) -> Outgoing:
    """The record that stores a slot."""
    partition, kind, profile_id = key
    place = slots.key(kind, profile_id, slot.number % capacity)
    return Outgoing(topic, partition, place, slots.encode(slot))


def tombstones(topic: str, key: ProfileKey, ring: Ring) -> list[Outgoing]:
    """The records that clear a ring."""
    partition, kind, profile_id = key
    return [
        Outgoing(topic, partition, slots.key(kind, profile_id, place), None)
        for place in sorted(ring.used)
    ]


def restored(found: dict[int, Slot]) -> Ring | None:
    """The ring whose changelog holds these slots, or None where nothing is left to go on with.

    Only the newest generation counts; slots of an older one are cleared with it. Slots beyond the
    ring, from a larger one before, hold samples like the others.
    """
    if not found:
        return None
    newest = max(slot.generation for slot in found.values())
    held = sorted(
        (slot for slot in found.values() if slot.generation == newest), key=lambda s: s.number
    )
    names = next((slot.names for slot in held if slot.names is not None), None)
    if names is None:
        return None
    last = held[-1]
    return Ring(
        generation=newest,
        names=names,
        slots=tuple(held),
        used=frozenset(found),
        records=last.number + 1,
        seen=last.before + last.rows.shape[0],
    )
