"""Rings of samples in a compacted topic: a profile's cold start, and its pool of accepted samples.

A new record writes one slot, never the whole ring again; compaction keeps the newest of each slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
        slots: what it holds, by place in the changelog.
        used: all places that the changelog holds, stale ones included.
        records: records that went into it so far, overwritten ones included.
        seen: samples that went into it so far.
    """

    generation: int
    names: tuple[str, ...]
    slots: Mapping[int, Slot] = field(default_factory=dict)
    used: frozenset[int] = frozenset()
    records: int = 0
    seen: int = 0

    @property
    def held(self) -> int:
        """Samples that it holds."""
        return sum(slot.rows.shape[0] for slot in self.slots.values())

    def samples(self) -> Floats:
        """The samples held, oldest first, shape (n, features)."""
        if not self.slots:
            return np.empty((0, len(self.names)))
        return np.concatenate([slot.rows for slot in sorted(self.slots.values(), key=_number)])


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
        slots=_newest({**ring.slots, place: slot}, capacity),
        used=ring.used if place in ring.used else ring.used | {place},
        records=ring.records + 1,
        seen=ring.seen + rows.shape[0],
    )
    return grown, slot


def changelog(topic: str, key: ProfileKey, slot: Slot, capacity: int) -> Outgoing:
    """The record that stores a slot."""
    partition, kind, profile_id = key
    place = slots.key(kind, profile_id, slot.number % capacity)
    return Outgoing(topic, slots.encode(slot), place, partition)


def tombstones(topic: str, key: ProfileKey, ring: Ring) -> list[Outgoing]:
    """The records that clear a ring."""
    partition, kind, profile_id = key
    return [
        Outgoing(topic, None, slots.key(kind, profile_id, place), partition)
        for place in sorted(ring.used)
    ]


def restored(found: Mapping[int, Slot], capacity: int) -> Ring | None:
    """The ring whose changelog holds these slots, or None where nothing is left to go on with.

    Only the newest generation counts; slots of an older one are cleared with it. Where the ring
    had another capacity before, its newest records count, wherever they lie.
    """
    if not found:
        return None
    newest = max(slot.generation for slot in found.values())
    held = {place: slot for place, slot in found.items() if slot.generation == newest}
    names = next((slot.names for slot in held.values() if slot.names is not None), None)
    if names is None:
        return None
    last = max(held.values(), key=_number)
    return Ring(
        generation=newest,
        names=names,
        slots=_newest(held, capacity),
        used=frozenset(found),
        records=last.number + 1,
        seen=last.before + last.rows.shape[0],
    )


def _newest(held: dict[int, Slot], capacity: int) -> dict[int, Slot]:
    """The newest ``capacity`` slots: more are there only after the ring was made smaller."""
    if len(held) <= capacity:
        return held
    ordered = sorted(held.items(), key=lambda item: item[1].number)
    return dict(ordered[-capacity:])


def _number(slot: Slot) -> int:
    return slot.number
