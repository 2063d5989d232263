"""Pools: what the retrainer holds of a profile, and how the compacted topic keeps it.

Beside the ring of admitted samples a profile has one head: the counters that its triggers need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from processor.records import ProducerRecord, ProfileKey
from processor.state import ring, ring_codec
from processor.state.changelog import StoredRing
from processor.state.ring import Ring
from processor.state.ring_codec import HEAD, Slot, SlotError
from processor.text.escaping import key_digest

FORMAT = 1
LATER = ("tried", "tried_at", "refused", "rolled_back", "alarmed")
"""Counters that the first release did not have."""


PoolDelta = dict[ProfileKey, "Pool | None"]
"""What a Step changes the pools by; None removes one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pool:
    """What the retrainer holds of a profile.

    Attributes:
        ring: admitted samples.
        accepted: samples accepted in this generation, admitted or not.
        offset: offset in ``accepted-normal`` of the newest record counted; -1 before the first.
        asked: trigger of a training that was asked for and not yet tried.
        tried: accepted samples at the last try.
        tried_at: epoch milliseconds of the last try.
        refused: candidates in a row that the gate refused.
        rolled_back: the newest version that a rollback emptied the pool for.
        obeyed: ids of the last ``retrain`` marks that were obeyed, the newest first.
        vouched: offsets in ``accepted-normal`` of what the ring holds that an analyst accepted.
        alarmed: accepted records of this generation that came directly behind an anomaly.
    """

    ring: Ring
    accepted: int = 0
    offset: int = -1
    asked: str | None = None
    tried: int = 0
    tried_at: int = 0
    refused: int = 0
    rolled_back: int = 0
    obeyed: tuple[str, ...] = ()
    vouched: tuple[int, ...] = ()
    alarmed: int = 0

    @property
    def generation(self) -> int:
        return self.ring.generation

    def samples(self, most: int, taught: int) -> tuple[Floats, NDArray[np.bool_], Floats | None]:
        """The latest samples, shape (n, features), which of them an analyst accepted, and times.

        Args:
            most: so many at most.
            taught: what was accepted up to this offset stands among the original samples of the
                model in force, and is left out.
        """
        rows, times = self.ring.samples(), self.ring.times()
        if not self.vouched:
            none = np.zeros(min(most, rows.shape[0]), dtype=np.bool_)
            return rows[-most:], none, None if times is None else times[-most:]
        slots = sorted(self.ring.slots.values(), key=lambda slot: slot.number)
        count, offsets = ([slot.rows.shape[0] for slot in slots], [slot.offset for slot in slots])
        vouched = np.repeat(np.isin(offsets, self.vouched), count)
        left = ~vouched | (np.repeat(offsets, count) > taught)
        if not left.any():
            # Nothing came since: all of it once more.
            left, vouched = np.ones_like(left), np.zeros_like(vouched)
        times = None if times is None else times[left][-most:]
        return rows[left][-most:], vouched[left][-most:], times

    def with_vouched(self, ring: Ring, offset: int) -> tuple[int, ...]:
        """Offsets of what this ring holds that an analyst accepted, with one more."""
        oldest = min(slot.offset for slot in ring.slots.values())
        return (*(one for one in self.vouched if one >= oldest), offset)


def head(topic: str, key: ProfileKey, pool: Pool) -> ProducerRecord:
    """The record that stores a pool's counters."""
    partition, kind, profile_id = key
    value = {
        "format": FORMAT,
        "generation": pool.generation,
        "accepted": pool.accepted,
        "offset": pool.offset,
        "asked": pool.asked,
        "tried": pool.tried,
        "tried_at": pool.tried_at,
        "refused": pool.refused,
        "rolled_back": pool.rolled_back,
        "obeyed": pool.obeyed,
        "vouched": pool.vouched,
        "alarmed": pool.alarmed,
    }
    return ProducerRecord(
        topic, orjson.dumps(value), ring_codec.key(kind, profile_id, HEAD), partition
    )


def pool_tombstones(topic: str, key: ProfileKey, pool: Pool) -> list[ProducerRecord]:
    """The records that clear a pool."""
    partition, kind, profile_id = key
    cleared = ProducerRecord(topic, None, ring_codec.key(kind, profile_id, HEAD), partition)
    return [*ring.tombstones(topic, key, pool.ring), cleared]


def read_head(value: bytes) -> dict[str, Any]:
    """The counters of a head.

    Raises:
        SlotError: of another format, or damaged.
    """
    try:
        found = orjson.loads(value)
        if found["format"] != FORMAT:
            raise SlotError(f"pool head of format {found['format']}, expected {FORMAT}")
        asked = found.get("asked")
        return {
            "asked": None if asked is None else str(asked),
            **{name: int(found[name]) for name in ("generation", "accepted", "offset")},
            "obeyed": tuple(str(one) for one in found.get("obeyed", ())),
            "vouched": tuple(int(one) for one in found.get("vouched", ())),
            **{name: int(found.get(name, 0)) for name in LATER},
        }
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, SlotError):
            raise
        raise SlotError(f"damaged pool head: {error!r}") from None


def restored_pool(
    found: Mapping[int, Slot], counters: Mapping[str, Any] | None, capacity: int
) -> Pool | None:
    """The pool that the changelog holds; None if nothing usable is left.

    Args:
        found: slots by place.
        counters: what ``read_head`` gave; None if there is none.
        capacity: records that the ring holds.
    """
    whole = ring.restored(found, capacity)
    if counters is None:
        if whole is None:
            return None
        newest = max(slot.offset for slot in whole.slots.values())
        return Pool(whole, whole.seen, newest)
    rest = dict(counters)
    generation = rest.pop("generation")
    if whole is None or whole.generation != generation:
        # What is left of an older generation is cleared with this one.
        whole = Ring(generation, (), used=frozenset(found))
    return Pool(whole, **rest)


def restored_head(stored: StoredRing, topic: str, log: Any) -> dict[str, Any] | None:
    """The counters stored with a ring; None if there are none, and a log line if unreadable."""
    if stored.head is None:
        return None
    try:
        return read_head(stored.head)
    except SlotError as error:
        name = key_digest(ring_codec.key(*stored.identity, HEAD))
        log.error("pool_unreadable", topic=topic, key_sha256=name, error=str(error))
        return None
