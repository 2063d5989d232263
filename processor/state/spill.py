"""The spill: rings of profiles that learn, beyond what memory is to hold, in a local file.

It is a cache of what ``cold-start`` holds anyway: a file without a name in the temporary directory,
which is gone with the process, however that ends, and empty at each start.
"""

from __future__ import annotations

import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from time import monotonic
from typing import Any

import orjson

from processor.records import ProfileKey
from processor.state import ring_codec
from processor.state.profiles import LearningProfile, State
from processor.state.ring import Ring, names_of
from processor.state.scratch_file import PAGE_BYTES, open_scratch_db, transaction

AT_A_TIME = 500
RETRY_SECONDS = 60.0
_SCHEMA = (
    "CREATE TABLE rings (name TEXT PRIMARY KEY, seen INTEGER, value BLOB)",
    "CREATE INDEX by_seen ON rings (seen)",
)
_LENGTH = struct.Struct("<I")


class Spill:
    """Learning profiles on a local disk; a disk that is full leaves them in memory.

    Attributes:
        counts: profiles held, by kind.
        failures: how often the file took nothing.
    """

    def __init__(self, limit: int, log: Any, clock: Callable[[], float] = monotonic) -> None:
        """
        Args:
            limit: bytes that the file may have.
            clock: seconds; after a failure nothing is tried for a while.
        """
        self.counts: Counter[str] = Counter()
        self.failures = 0
        self._limit = limit
        self._log = log
        self._clock = clock
        self._not_before = float("-inf")
        self._file: sqlite3.Connection | None = None

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        if self._file is None:
            return 0
        (pages,) = self._file.execute("PRAGMA page_count").fetchone()
        return int(pages) * PAGE_BYTES

    def put(self, profiles: Iterable[tuple[ProfileKey, LearningProfile, int]]) -> bool:
        """Take profiles, each with the time it was last seen; False if the disk takes none."""
        if self._clock() < self._not_before:
            return False
        rows = [(_name(key), seen, encode_learning(learning)) for key, learning, seen in profiles]
        kinds = Counter(_key(name)[1] for name, _, _ in rows)
        try:
            file = self._opened()
            with transaction(file):
                file.executemany("INSERT INTO rings VALUES (?, ?, ?)", rows)
        except (sqlite3.OperationalError, OSError) as error:
            if self._not_before == float("-inf"):
                self._log.error("spill_failed", error=str(error), bytes=self.nbytes)
            self.failures += 1
            self._not_before = self._clock() + RETRY_SECONDS
            return False
        self._not_before = float("-inf")
        self.counts += kinds
        return True

    def get(self, keys: Iterable[ProfileKey]) -> dict[ProfileKey, LearningProfile]:
        """Those of the profiles that it holds.

        Raises:
            sqlite3.Error: the file cannot be read; the state has to be restored anew.
        """
        found: dict[ProfileKey, LearningProfile] = {}
        if self._file is None or not self.counts.total():
            return found
        for names in key_batches(keys):
            rows = self._file.execute(
                "SELECT name, rings.value FROM rings WHERE name IN "
                "(SELECT value FROM json_each(?))",
                (names,),
            )
            found |= {_key(name): decode_learning(value) for name, value in rows}
        return found

    def drop(self, keys: Iterable[ProfileKey]) -> None:
        """Let go of profiles that memory holds again, or that are no more.

        Raises:
            sqlite3.Error: the file cannot be written; the state has to be restored anew.
        """
        if self._file is None or not self.counts.total():
            return
        with transaction(self._file):
            for names in key_batches(keys):
                gone = self._file.execute(
                    "DELETE FROM rings WHERE name IN (SELECT value FROM json_each(?)) "
                    "RETURNING name",
                    (names,),
                ).fetchall()
                self.counts -= Counter(_key(name)[1] for (name,) in gone)

    def silent(self, until: int, most: int) -> list[ProfileKey]:
        """Profiles that were not seen after a time, at most so many.

        Args:
            until: epoch milliseconds.
        """
        if self._file is None or not self.counts.total():
            return []
        rows = self._file.execute(
            "SELECT name FROM rings WHERE seen <= ? ORDER BY seen LIMIT ?", (until, most)
        )
        return [_key(name) for (name,) in rows]

    def see(self, keys: Iterable[ProfileKey], now: int) -> None:
        """Count profiles as seen now."""
        if self._file is not None:
            with transaction(self._file):
                self._file.executemany(
                    "UPDATE rings SET seen = ? WHERE name = ?", ((now, _name(key)) for key in keys)
                )

    def clear(self) -> None:
        """Let go of everything, the file included."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.counts.clear()
        self._not_before = float("-inf")

    def _opened(self) -> sqlite3.Connection:
        if self._file is None:
            self._file = open_scratch_db(self._limit, _SCHEMA)
        return self._file


def make_room(
    state: State, spill: Spill, limit: int, seen: Callable[[ProfileKey], int]
) -> list[ProfileKey]:
    """Have the spill hold the profiles that learnt longest ago, so that memory holds few enough.

    Args:
        limit: learning profiles that memory is to hold.
        seen: when a profile was last seen, epoch milliseconds.

    Returns:
        The profiles that memory no longer holds.
    """
    moved: list[ProfileKey] = []
    while (surplus := len(state.learning) - limit) > 0:
        cold = list(islice(state.learning, min(surplus, AT_A_TIME)))
        held = ((key, state.profiles.get(key), seen(key)) for key in cold)
        chosen = [(key, p, at) for key, p, at in held if isinstance(p, LearningProfile)]
        if not spill.put(chosen):
            break
        state.evict(cold)
        moved += cold
    return moved


def encode_learning(learning: LearningProfile) -> bytes:
    """A profile as the file holds it: its slots as in ``cold-start``, behind what they lack."""
    ring = learning.ring
    values = [(place, ring_codec.encode_slot(slot)) for place, slot in ring.slots.items()]
    named = names_of(ring.slots.values()) == ring.names
    head = orjson.dumps(
        [
            learning.retry_at,
            ring.generation,
            None if named else ring.names,
            sorted(ring.used),
            ring.records,
            ring.seen,
            [(place, len(value)) for place, value in values],
        ]
    )
    return b"".join([_LENGTH.pack(len(head)), head, *(value for _, value in values)])


def decode_learning(value: bytes) -> LearningProfile:
    """The profile of such a value."""
    (length,) = _LENGTH.unpack_from(value)
    at = _LENGTH.size + length
    head = orjson.loads(value[_LENGTH.size : at])
    retry_at, generation, names, used, records, seen, places = head
    held = {}
    for place, size in places:
        held[place] = ring_codec.decode_slot(value[at : at + size])
        at += size
    told = names_of(held.values())
    ring = Ring(
        generation, tuple(names) if told is None else told, held, frozenset(used), records, seen
    )
    return LearningProfile(ring, retry_at)


def key_batches(keys: Iterable[ProfileKey]) -> Iterator[str]:
    """The names of some profiles at a time, as a JSON array."""
    names = map(_name, keys)
    while chunk := list(islice(names, AT_A_TIME)):
        yield orjson.dumps(chunk).decode()


def _name(key: ProfileKey) -> str:
    partition, kind, profile_id = key
    return f"{partition}/{kind}/{profile_id}"


def _key(name: str) -> ProfileKey:
    partition, kind, profile_id = name.split("/", 2)
    return int(partition), kind, profile_id
