"""Rates of counters: the increase a second since a profile's record before, and its state.

A profile's counters are those of one source partition: its records there are in order, and the
state moves with the partition. In the changelog it lies on that partition, modulo the topic's
count; the key names source, topic, partition and profile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import orjson

from processor.records import ProducerRecord

FORMAT = 1

AHEAD_MS = 3_600_000
"""So far may an observation be ahead of its record's own timestamp, and be counted from."""

CounterKey = tuple[str, str, int, str]
"""Name of the source, topic, partition, profile."""


@dataclass(frozen=True, slots=True)
class Counters:
    """The last value of each counter of a profile.

    Attributes:
        offset: of the newest record counted.
        last: name → epoch milliseconds and value.
        heard: epoch milliseconds when the profile was last heard, by the clock of the process that
            read it; in the changelog it is the record's own timestamp.
    """

    offset: int
    last: Mapping[str, tuple[int, float]]
    heard: int = field(default=0, compare=False)


class CountersUnreadable(Exception):
    """A record of the changelog that is damaged, or of another format."""


def increase(
    before: Mapping[str, tuple[int, float]], name: str, at: int, value: float, timestamp: int
) -> tuple[float | None, bool]:
    """The increase a second, None where there is none to tell; and whether the value is kept.

    A smaller value is a reset: no rate, and the count goes on from it. A record that is not newer
    than the one before gives no rate and is not kept, so that the next is not counted twice.
    Neither is a time that is more than ``AHEAD_MS`` after the timestamp: nothing would be newer.
    One that is kept all the same is replaced.

    Args:
        at: epoch milliseconds.
        timestamp: of the source record, epoch milliseconds; 0 or less where it has none.
    """
    latest = timestamp + AHEAD_MS if timestamp > 0 else None
    if latest is not None and at > latest:
        return None, False
    held = before.get(name)
    if held is None or (latest is not None and held[0] > latest):
        return None, True
    then, last = held
    if at <= then:
        return None, False
    if value < last:
        return None, True
    rate = (value - last) * 1000.0 / (at - then)
    return (rate if isfinite(rate) else None), True


def counters_record(
    topic: str, partitions: int, key: CounterKey, counters: Counters | None
) -> ProducerRecord:
    """The record that stores a profile's counters; without them, the one that clears it."""
    value = None
    if counters is not None:
        held = {"format": FORMAT, "offset": counters.offset, "last": counters.last}
        value = orjson.dumps(held)
    return ProducerRecord(topic, value, orjson.dumps(key), key[2] % partitions)


def decode_counters(key: bytes, value: bytes, timestamp: int = 0) -> tuple[CounterKey, Counters]:
    """A record of the changelog.

    Args:
        timestamp: of the record, epoch milliseconds.

    Raises:
        CountersUnreadable: it is damaged, or of another format.
    """
    try:
        source, topic, partition, profile = orjson.loads(key)
        found: dict[str, Any] = orjson.loads(value)
        if found["format"] != FORMAT:
            raise CountersUnreadable(f"format {found['format']}, expected {FORMAT}")
        last = {str(name): (int(at), held + 0) for name, (at, held) in found["last"].items()}
        return (str(source), str(topic), int(partition), str(profile)), Counters(
            int(found["offset"]), last, timestamp
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CountersUnreadable(f"damaged: {error!r}") from None
