"""Changelogs, read back at an assignment: the newest value of each key.

``Table`` holds announcements and notes in memory; ``LoadedSlots`` holds rings of samples, which may
exceed it, and spills to a local file.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from models.features import KINDS
from processor.records import ConsumerRecord, Partition
from processor.state import ring_codec
from processor.state.ring_codec import HEAD, Slot, SlotError
from processor.state.scratch_file import open_scratch_db, transaction
from processor.text.escaping import key_digest
from schemas import ModelRecord


class Table:
    """The newest value of each key of the partitions that were read."""

    def __init__(self) -> None:
        self._values: dict[Partition, dict[bytes, bytes]] = {}
        self._next: dict[Partition, int] = {}

    def load(self, record: ConsumerRecord) -> None:
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
    """A record of ``models``; None, and a log line, if it cannot be read."""
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


IN_MEMORY = 2_000_000
"""Slots and profiles that memory holds: one of either takes about as much."""

Identity = tuple[str, str]
"""Kind and profile."""

_SCHEMA = (
    "CREATE TABLE slots (partition INTEGER, kind TEXT, profile TEXT, place INTEGER, at INTEGER, "
    "value BLOB, PRIMARY KEY (partition, kind, profile, place)) WITHOUT ROWID",
)
_Held = dict[int, tuple[int, bytes] | None]
"""Of a profile, by place: when it was stored and its value; None if it was removed."""


class StoredRing(NamedTuple):
    """What a changelog of rings holds of one profile.

    Attributes:
        identity: kind and profile.
        slots: by place; empty if only a head is left.
        newest: epoch milliseconds at which the newest slot was stored; 0 without one.
        head: value at the place ``HEAD``, undecoded; None if there is none.
    """

    identity: Identity
    slots: dict[int, Slot]
    newest: int
    head: bytes | None


class LoadedSlots:
    """The newest value of each slot of the partitions that were read."""

    def __init__(self, limit: int, log: Any, in_memory: int = IN_MEMORY) -> None:
        """
        Args:
            limit: bytes that the file may have; beyond them memory takes the slots.
            in_memory: slots and profiles that memory holds before they go to the file.
        """
        self._limit = limit
        self._log = log
        self._most = in_memory
        self._values: dict[int, dict[Identity, _Held]] = defaultdict(dict)
        self._count = 0
        self._file: sqlite3.Connection | None = None
        self._full = False

    def load(self, record: ConsumerRecord) -> None:
        """Take a record of the changelog; a tombstone removes its slot."""
        try:
            kind, profile_id, place = ring_codec.parse_key(record.key or b"")
        except SlotError as error:
            self._log.error(
                "slot_unreadable",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=str(error),
            )
            return
        profiles, identity = self._values[record.partition], (kind, profile_id)
        held = profiles.get(identity)
        if held is None:
            held = profiles[identity] = {}
            self._count += 1
        before = len(held)
        if record.value is not None:
            held[place] = (record.timestamp, record.value)
        elif self._file is None:
            held.pop(place, None)
        else:
            held[place] = None
        self._count += len(held) - before
        if self._count > self._most and not self._full:
            self._flush()

    def rings(self, partition: int) -> Iterator[StoredRing]:
        """The ring of each profile of a partition; removes what it yields.

        Values that cannot be decoded are logged and left out.
        """
        if self._file is not None:
            self._flush()
            if self._full:
                self._take_back()
        if self._file is None:
            yield from self._from_memory(partition)
        else:
            rows = self._file.execute(
                "SELECT kind, profile, place, at, value FROM slots WHERE partition = ? "
                "ORDER BY kind, profile",
                (partition,),
            )
            for identity, found in groupby(rows, key=lambda row: (row[0], row[1])):
                yield from self._ring(identity, {row[2]: (row[3], row[4]) for row in found})

    def clear(self) -> None:
        """Remove everything, the file included."""
        self._values.clear()
        self._count = 0
        if self._file is not None:
            self._file.close()
            self._file = None

    def _from_memory(self, partition: int) -> Iterator[StoredRing]:
        profiles = self._values.pop(partition, {})
        while profiles:
            identity, held = profiles.popitem()
            self._count -= 1 + len(held)
            yield from self._ring(identity, held)

    def _ring(self, identity: Identity, held: _Held) -> Iterator[StoredRing]:
        found: dict[int, Slot] = {}
        newest, head = 0, None
        for place, stored in held.items():
            if stored is None:
                continue
            at, value = stored
            if place == HEAD:
                head = value
                continue
            try:
                found[place] = ring_codec.decode_slot(value)
            except SlotError as error:
                kind, profile_id = identity
                self._log.error(
                    "slot_unreadable",
                    kind=kind,
                    key_sha256=key_digest(ring_codec.key(kind, profile_id, place)),
                    error=str(error),
                )
            newest = max(newest, at)
        if found or head is not None:
            yield StoredRing(identity, found, newest, head)

    def _flush(self) -> None:
        """Move all from memory to the file."""
        kept = ((*key, *stored) for key, stored in self._every() if stored is not None)
        gone = (key for key, stored in self._every() if stored is None)
        try:
            if self._file is None:
                self._file = open_scratch_db(self._limit, _SCHEMA)
            with transaction(self._file):
                self._file.executemany("INSERT OR REPLACE INTO slots VALUES (?,?,?,?,?,?)", kept)
                self._file.executemany(
                    "DELETE FROM slots WHERE partition = ? AND kind = ? AND profile = ? "
                    "AND place = ?",
                    gone,
                )
        except (sqlite3.OperationalError, OSError) as error:
            self._log.error("spill_failed", error=str(error))
            self._full = True
        else:
            self._values.clear()
            self._count = 0

    def _every(self) -> Iterator[tuple[tuple[int, str, str, int], tuple[int, bytes] | None]]:
        """Partition, kind, profile and place of all slots in memory, and what each holds."""
        for partition, profiles in self._values.items():
            for identity, held in profiles.items():
                for place, stored in held.items():
                    yield (partition, *identity, place), stored

    def _take_back(self) -> None:
        """Move all back to memory, because the file is full."""
        if self._file is not None:
            for partition, kind, profile, place, at, value in self._file.execute(
                "SELECT * FROM slots"
            ):
                held = self._values[partition].setdefault((kind, profile), {})
                held.setdefault(place, (at, value))
            self._file.close()
            self._file = None
