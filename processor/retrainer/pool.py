"""Pools: what the retrainer holds of a profile, and how the compacted topic keeps it.

Beside the ring of admitted samples a profile has one head: the counters that its triggers need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from models.features import KINDS
from processor.records import ProducerRecord, ProfileKey
from processor.state import ring, ring_codec
from processor.state.changelog import Table
from processor.state.ring import Ring
from processor.state.ring_codec import HEAD, Slot, SlotError
from processor.text.escaping import key_digest

FORMAT = 1
LATER = ("tried", "tried_at", "refused", "rolled_back")
"""Counters that the first release did not have."""


PoolDelta = dict[ProfileKey, "Pool | None"]
"""What a Step changes the pools by; None removes one."""

Heads = dict[tuple[str, str], dict[str, Any]]


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

    @property
    def generation(self) -> int:
        return self.ring.generation


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
            **{name: int(found.get(name, 0)) for name in LATER},
        }
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, SlotError):
            raise
        raise SlotError(f"damaged pool head: {error!r}") from None


def restored_pool(
    found: Mapping[int, Slot], counters: Mapping[str, Any] | None, capacity: int
) -> Pool | None:
    """The pool that the changelog holds, or None where nothing is left to go on with.

    Args:
        found: slots by place.
        counters: what ``read_head`` gave; None where there is none.
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


def heads(table: Table, topic: str, partition: int, log: Any) -> Heads:
    """(kind, profile) → the counters of its pool; what cannot be read is logged."""
    found: Heads = {}
    for key, value in table.items(topic, partition):
        try:
            kind, profile_id, place = ring_codec.parse_key(key)
            if place == HEAD and kind in KINDS:
                found[kind, profile_id] = read_head(value)
        except SlotError as error:
            log.error("pool_unreadable", topic=topic, key_sha256=key_digest(key), error=str(error))
    return found
