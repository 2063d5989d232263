"""Changelogs as tables: the newest value of each key, read as rings, models and windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor import slots
from processor.records import Incoming, TopicPartition
from processor.slots import Slot, SlotError
from schemas import ModelRecord

Rings = dict[tuple[str, str], dict[int, Slot]]


class Table:
    """The newest value of each key of the partitions that were read."""

    def __init__(self) -> None:
        self._values: dict[TopicPartition, dict[bytes, bytes]] = {}
        self._next: dict[TopicPartition, int] = {}

    def load(self, record: Incoming) -> None:
        """Take a record; a tombstone removes its key."""
        place = (record.topic, record.partition)
        table = self._values.setdefault(place, {})
        if record.value is None:
            table.pop(record.key or b"", None)
        else:
            table[record.key or b""] = record.value
        self._next[place] = record.offset + 1

    def next(self, topic: str, partition: int) -> int:
        """The offset after the last record taken."""
        return self._next.get((topic, partition), 0)

    def items(self, topic: str, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values."""
        yield from self._values.get((topic, partition), {}).items()

    def rings(self, topic: str, partition: int, log: Any) -> Rings:
        """(kind, profile) → slot → what it holds; what cannot be read is logged."""
        rings: Rings = {}
        for key, value in self.items(topic, partition):
            try:
                kind, profile_id, place = slots.parse_key(key)
                slot = slots.decode(value)
            except SlotError as error:
                log.error("slot_unreadable", topic=topic, key=repr(key[:80]), error=str(error))
                continue
            if kind in KINDS:
                rings.setdefault((kind, profile_id), {})[place] = slot
        return rings

    def models(self, topic: str, partition: int, log: Any) -> Iterator[ModelRecord]:
        """The announcements; what cannot be read is logged."""
        for key, value in self.items(topic, partition):
            record = announcement(key, value, log)
            if record is not None and record.kind in KINDS:
                yield record


def announcement(key: bytes, value: bytes, log: Any) -> ModelRecord | None:
    """A record of ``models``; None, and a log line, where it cannot be read."""
    try:
        return ModelRecord.model_validate(orjson.loads(value))
    except (orjson.JSONDecodeError, ValidationError) as error:
        log.error("model_record_unreadable", key=repr(key[:80]), error=str(error)[:300])
        return None
