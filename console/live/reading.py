"""A polled batch, taken into memory: most verdicts together, all other records one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from console.live.events import Item, Place, read
from console.live.normals import Normals, scan, split
from console.live.state import LiveState, show
from processor.record_batch import RecordBatch
from processor.topics import Topics

FEW = 16
"""So few records are not worth a scan."""


@dataclass(frozen=True)
class Taken:
    """What a batch held.

    Attributes:
        items: in the order of each partition.
        normals: verdicts without an alarm that are not among the items, if there are any.
        begins: place → offset from which on nothing was left out.
        ends: place → the offset to go on with.
    """

    items: list[Item]
    normals: Normals | None
    begins: Mapping[Place, int]
    ends: Mapping[Place, int]


def take(
    records: RecordBatch, offsets: dict[Place, int], state: LiveState, topics: Topics, one_in: int
) -> Taken | None:
    """Take a batch into memory; None if all of it was there already.

    Args:
        offsets: place → the offset to go on with, which is moved on.
        one_in: one normal verdict in so many is drawn.
    """
    records = _unseen(records, offsets)
    if not records:
        return None
    ends = {place: at + 1 for place, at in records.last_offsets().items()}
    begins = {place: offsets[place] for place in ends}
    offsets.update(ends)
    verdicts = np.fromiter(map(topics.anomalies.__eq__, records.topics), np.bool_, len(records))
    normals = None
    # What is forgotten goes between verdicts: then each record is taken by itself.
    if verdicts.sum() >= FEW and not _forgets(records, verdicts):
        waiting = state.waiting
        normals, taken = split(records.filter(verdicts), state.profiles, one_in, waiting.expects)
        verdicts[verdicts] = taken
        records = records.filter(~verdicts)
        normals.fold(state.profiles)
        if normals.size:
            state.roles["scorer"] = max(normals.newest(), state.roles.get("scorer", 0))
    items = [read(record, topics, one_in) for record in records]
    show(state, items)
    return Taken(items, normals if normals is not None and normals.size else None, begins, ends)


def warm_up() -> None:
    """Have the scan compiled, or loaded from numba's cache, before the first record."""
    scan([b""], [b"{}"])


def _unseen(records: RecordBatch, offsets: Mapping[Place, int]) -> RecordBatch:
    """Those from the given offsets on."""
    if all(at >= offsets[place] for place, at in records.first_offsets().items()):
        return records
    places = zip(records.topics, records.partitions.tolist(), strict=True)
    least = np.fromiter((offsets[place] for place in places), np.int64, len(records))
    return records.filter(records.offsets >= least)


def _forgets(records: RecordBatch, verdicts: NDArray[np.bool_]) -> bool:
    others = np.flatnonzero(~verdicts).tolist()
    return any(b"forgotten" in (records.values[at] or b"") for at in others)
