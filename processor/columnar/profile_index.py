"""Finder: the rows that records belong to, by what they come from, thousands at once.

A dictionary asks memory four times for one of a hundred thousand profiles, and waits each time.
Here all of a batch are asked for ahead of their turn, twice each.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.kernels.text import hash_index
from models.kernels.text.byte_strings import Integers, concat
from models.kernels.text.hash_index import EMPTY
from processor.record_batch import RecordBatch
from processor.records import RecordOrigin

LEAST: Final = 64
LONGEST: Final = 48
"""Bytes of a key that is found here, at most."""

_TEXT = np.dtype([("where", np.int64), ("length", np.int64), ("key", np.uint8, LONGEST)])


class ProfileIndex:
    """Rows by topic, partition and key of their records.

    A key that is longer than ``LONGEST``, or absent, is never found.
    """

    def __init__(self) -> None:
        self._topics: dict[str, int] = {}
        self._texts: NDArray[Any] = np.zeros(LEAST, _TEXT)
        self._slots: Integers = np.full((LEAST, 2), EMPTY, np.int64)
        self._used = 0

    def enter(self, row: int, source: RecordOrigin) -> None:
        """Have a row be found, which is not yet."""
        topic, partition, key = source
        if key is None or len(key) > LONGEST:
            return
        if row >= len(self._texts):
            more = np.zeros(max(row + 1, 2 * len(self._texts)), _TEXT)
            more[: len(self._texts)] = self._texts
            self._texts = more
        number = self._topics.setdefault(topic, len(self._topics))
        text = self._texts[row]
        text["where"], text["length"] = _where(number, partition), len(key)
        text["key"][: len(key)] = np.frombuffer(key, np.uint8)
        if 2 * self._used >= len(self._slots):
            self._make_room()
        self._used += 1
        hash_index.fill(np.array([hash(source)]), np.array([row]), self._slots)

    def leave(self, row: int, source: RecordOrigin) -> None:
        """Have a row not be found any more."""
        hash_index.leave(hash(source), row, self._slots)

    def find(self, batch: RecordBatch) -> Integers:
        """The row of each record, ``EMPTY`` where it is not found."""
        found = np.empty(len(batch), np.int64)
        hashes = np.fromiter(map(hash, batch.sources()), np.int64, len(batch))
        topics = np.fromiter(map(self._topics.get, batch.topics, repeat(EMPTY)), np.int64)
        keys = batch.keys
        if None in keys:
            topics[[key is None for key in keys]] = EMPTY
        text, ends = concat([key or b"" for key in keys])
        hash_index.find(
            hashes, _where(topics, batch.partitions), text, ends, self._slots,
            self._texts.ctypes.data, _TEXT.itemsize, found,
        )  # fmt: skip
        return found

    def _make_room(self) -> None:
        """Have four slots for each row that is there."""
        keys, rows = self._slots[self._slots[:, 1] >= 0].T.copy()
        self._used = len(rows)
        size = max(LEAST, 1 << (4 * len(rows)).bit_length())
        self._slots = np.full((size, 2), EMPTY, np.int64)
        hash_index.fill(keys, rows, self._slots)


def _where(topic: Any, partition: Any) -> Any:
    """Number of a topic, and partition, as one number; below 0 of no topic."""
    return topic * 2**32 + partition
