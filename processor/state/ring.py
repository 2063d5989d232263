"""Rings of samples in a compacted topic: a profile's cold start, and its pool of accepted samples.

A new record writes one slot, never the whole ring again; compaction keeps the newest of each slot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from processor.records import ProducerRecord, ProfileKey
from processor.state import ring_codec
from processor.state.ring_codec import Slot

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ring:
    """The newest records of samples of one generation of a profile.

    Attributes:
        generation: telemetry offset of the record that gave the first sample.
        names: names of the features, in order; they may grow, so that rows of earlier slots have
            fewer columns.
        slots: what it holds, by place in the changelog: a record's running number modulo the
            capacity, or where that holds a newer one still, since the capacity was another, any.
            The newest comes last.
        used: all places that the changelog holds, stale ones included.
        records: records that went into it so far, overwritten ones included.
        seen: samples that went into it so far.
    """

    generation: int
    names: tuple[str, ...]
    slots: dict[int, Slot] = field(default_factory=dict)
    used: frozenset[int] = frozenset()
    records: int = 0
    seen: int = 0

    @property
    def newest(self) -> Slot | None:
        """The slot of the last record."""
        return next(reversed(self.slots.values()), None)

    @property
    def held(self) -> int:
        """Samples that it holds."""
        return sum(slot.rows.shape[0] for slot in self.slots.values())

    def times(self) -> Floats | None:
        """Times of the samples held, oldest first, shape (n,); None unless each has one."""
        held = [slot.times for slot in sorted(self.slots.values(), key=_number)]
        known = [times for times in held if times is not None]
        return np.concatenate(known) if known and len(known) == len(held) else None

    def samples(self) -> Floats:
        """The samples held, oldest first, shape (n, features); NaN for names that came later."""
        return joined(sorted(self.slots.values(), key=_number), len(self.names))


def joined(slots: Sequence[Slot], width: int) -> Floats:
    """The samples of some slots, shape (n, width); NaN for names that came later."""
    if not slots:
        return np.empty((0, width))
    rows = [slot.rows for slot in slots]
    if all(each.shape[1] == width for each in rows):
        return np.concatenate(rows)
    found = np.full((sum(map(len, rows)), width), np.nan)
    begin = 0
    for each in rows:
        found[begin : begin + len(each), : each.shape[1]] = each
        begin += len(each)
    return found


def append_sample(
    ring: Ring,
    offset: int,
    rows: Floats,
    *,
    capacity: int,
    names: tuple[str, ...] | None = None,
    times: Floats | None = None,
) -> tuple[Ring, int, Slot]:
    """The ring with the samples of one more record, the place that it takes, and its slot.

    Args:
        offset: offset of the record.
        rows: shape (samples, features).
        capacity: records that the ring holds.
        names: of the features from now on, the ring's own first; None: as before.
        times: of the samples, shape (samples,), if they have any.
    """
    grown_names = ring.names if names is None else names
    held, place = dict(ring.slots), ring.records % capacity
    oldest = ring.records - capacity
    before = held.get(place)
    usual = oldest < 0 if before is None else before.number == oldest
    if not usual:
        # It had another capacity once, so that other places than usual hold what is newest.
        held = _after(held, oldest)
        if place in held:
            place = next(free for free in range(capacity) if free not in held)
    told = place == 0 or not usual or len(grown_names) > len(ring.names)
    told_names = grown_names if told else None
    slot = Slot(ring.generation, ring.records, ring.seen, offset, rows, told_names, times)
    held.pop(place, None)
    held[place] = slot
    grown = replace(
        ring,
        names=grown_names,
        slots=held,
        used=ring.used if place in ring.used else ring.used | {place},
        records=ring.records + 1,
        seen=ring.seen + rows.shape[0],
    )
    return grown, place, slot


def changelog(topic: str, key: ProfileKey, place: int, slot: Slot) -> ProducerRecord:
    """The record that stores a slot at its place."""
    partition, kind, profile_id = key
    name = ring_codec.key(kind, profile_id, place)
    return ProducerRecord(topic, ring_codec.encode_slot(slot), name, partition)


def tombstones(topic: str, key: ProfileKey, ring: Ring) -> list[ProducerRecord]:
    """The records that clear a ring."""
    partition, kind, profile_id = key
    return [
        ProducerRecord(topic, None, ring_codec.key(kind, profile_id, place), partition)
        for place in sorted(ring.used)
    ]


def restored(
    found: Mapping[int, Slot], capacity: int, known: tuple[str, ...] | None = None
) -> Ring | None:
    """The ring whose changelog holds these slots, or None where nothing is left to go on with.

    Only the newest generation counts; slots of an older one are cleared with it. Where the ring
    had another capacity before, those of its last ``capacity`` records count that are still there,
    wherever they lie.

    Args:
        known: the names, where they are known from elsewhere.
    """
    if not found:
        return None
    newest = max(slot.generation for slot in found.values())
    held = {place: slot for place, slot in found.items() if slot.generation == newest}
    names = known or names_of(held.values())
    if names is None:
        return None
    place = max(held, key=lambda at: held[at].number)
    last = held[place] = held.pop(place)
    return Ring(
        generation=newest,
        names=names,
        slots=_after(held, last.number - capacity),
        used=frozenset(found),
        records=last.number + 1,
        seen=last.before + last.rows.shape[0],
    )


def names_of(slots: Iterable[Slot]) -> tuple[str, ...] | None:
    """The names that slots tell: they only grow, so the longest; None if no slot tells any."""
    return max((slot.names for slot in slots if slot.names is not None), key=len, default=None)


def left_out(found: Mapping[int, Slot], ring: Ring) -> int:
    """Samples of a restored ring's generation that it leaves out, as its capacity is smaller now.

    Args:
        found: slots by place, as ``restored`` had them.
    """
    if len(found) == len(ring.slots):
        return 0
    of_it = (slot for slot in found.values() if slot.generation == ring.generation)
    return int(sum(slot.rows.shape[0] for slot in of_it)) - ring.held


def _after(held: dict[int, Slot], number: int) -> dict[int, Slot]:
    """The slots of records behind a running number."""
    if number < 0 or all(slot.number > number for slot in held.values()):
        return held
    return {place: slot for place, slot in held.items() if slot.number > number}


def _number(slot: Slot) -> int:
    return slot.number
