"""Changelogs as tables: the newest value of each key, read as rings, models and windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor import slots
from processor.pools import read_head
from processor.records import Incoming, TopicPartition
from processor.shown import key_digest
from processor.slots import HEAD, Slot, SlotError
from schemas import ModelRecord

Rings = dict[tuple[str, str], dict[int, Slot]]
Heads = dict[tuple[str, str], dict[str, Any]]


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

    def drop(self, partition: int) -> None:
        """Let go of the values of a partition, which are as large as the state made of them."""
        for place in self._values:
            if place[1] == partition:
                self._values[place] = {}

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
                if place == HEAD:
                    continue
                slot = slots.decode(value)
            except SlotError as error:
                log.error(
                    "slot_unreadable", topic=topic, key_sha256=key_digest(key), error=str(error)
                )
                continue
            if kind in KINDS:
                rings.setdefault((kind, profile_id), {})[place] = slot
        return rings

    def heads(self, topic: str, partition: int, log: Any) -> Heads:
        """(kind, profile) → the counters of its pool; what cannot be read is logged."""
        heads: Heads = {}
        for key, value in self.items(topic, partition):
            try:
                kind, profile_id, place = slots.parse_key(key)
                if place == HEAD and kind in KINDS:
                    heads[kind, profile_id] = read_head(value)
            except SlotError as error:
                log.error(
                    "pool_unreadable", topic=topic, key_sha256=key_digest(key), error=str(error)
                )
        return heads

    def models(self, topic: str, partition: int, log: Any) -> Iterator[ModelRecord]:
        """The announcements, with their partition; what cannot be read is logged."""
        for key, value in self.items(topic, partition):
            record = announcement(key, value, log)
            if record is None or record.kind not in KINDS:
                continue
            # Early releases did not say it, and the artefact's name depends on it.
            at_home = record.partition == partition
            yield record if at_home else record.model_copy(update={"partition": partition})


def announcement(key: bytes, value: bytes, log: Any) -> ModelRecord | None:
    """A record of ``models``; None, and a log line, where it cannot be read."""
    try:
        return ModelRecord.model_validate(orjson.loads(value))
    except (orjson.JSONDecodeError, ValidationError) as error:
        log.error("model_record_unreadable", key_sha256=key_digest(key), error=_why(error))
        return None


def _why(error: orjson.JSONDecodeError | ValidationError) -> str:
    """What is wrong, without the values that came: the log names no profile."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or '$'}: {p['msg']}" for p in problems[:3])
