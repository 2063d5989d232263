"""A polled batch as columns instead of one object a record; rows are built on demand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import compress, repeat
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from models.kernels.text.byte_strings import Integers
from processor.records import ConsumerRecord, Headers, Partition, RecordOrigin, incoming


@dataclass(frozen=True, slots=True, eq=False)
class RecordBatch(Sequence[ConsumerRecord]):
    """Records in their order; the fields of ``ConsumerRecord`` as columns."""

    topics: Sequence[str]
    partitions: Integers
    offsets: Integers
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Headers]
    timestamps: Integers

    @classmethod
    def of(cls, records: Sequence[ConsumerRecord]) -> RecordBatch:
        """The records as columns; a ``RecordBatch`` is returned as it is."""
        if isinstance(records, RecordBatch):
            return records
        if not records:
            return _NOTHING
        columns: Any = zip(*records, strict=True)
        topics, partitions, offsets, keys, values, headers, timestamps = columns
        numbers = (np.array(each, dtype=np.int64) for each in (partitions, offsets, timestamps))
        partitions, offsets, timestamps = numbers
        return cls(topics, partitions, offsets, keys, values, headers, timestamps)

    @classmethod
    def joined(
        cls, first: Sequence[ConsumerRecord], second: Sequence[ConsumerRecord]
    ) -> RecordBatch:
        """The records of two, one after the other."""
        if not first or not second:
            return cls.of(first or second)
        one, other = cls.of(first), cls.of(second)
        columns: Any = (
            np.concatenate(pair) if isinstance(pair[0], np.ndarray) else [*pair[0], *pair[1]]
            for pair in zip(one._columns(), other._columns(), strict=True)
        )
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.topics)

    def __iter__(self) -> Iterator[ConsumerRecord]:
        columns = zip(
            self.topics,
            self.partitions.tolist(),
            self.offsets.tolist(),
            self.keys,
            self.values,
            self.headers,
            self.timestamps.tolist(),
            strict=True,
        )
        return map(incoming, columns)

    @overload
    def __getitem__(self, at: int) -> ConsumerRecord: ...
    @overload
    def __getitem__(self, at: slice) -> RecordBatch: ...
    def __getitem__(self, at: int | slice) -> ConsumerRecord | RecordBatch:
        if isinstance(at, slice):
            return RecordBatch(*(column[at] for column in self._columns()))
        return ConsumerRecord(
            self.topics[at],
            int(self.partitions[at]),
            int(self.offsets[at]),
            self.keys[at],
            self.values[at],
            self.headers[at],
            int(self.timestamps[at]),
        )

    def _columns(self) -> Iterator[Any]:
        return (getattr(self, field.name) for field in fields(self))

    def filter(self, wanted: NDArray[np.bool_]) -> RecordBatch:
        """Some of the records."""
        held = wanted.tolist()
        columns: Iterator[Any] = (
            column[wanted] if isinstance(column, np.ndarray) else list(compress(column, held))
            for column in self._columns()
        )
        return RecordBatch(*columns)

    def sources(self) -> Iterator[RecordOrigin]:
        """Where each record comes from."""
        return zip(self.topics, self.partitions.tolist(), self.keys, strict=True)

    def source(self, at: int) -> RecordOrigin:
        """Where one of them comes from."""
        return self.topics[at], int(self.partitions[at]), self.keys[at]

    def place(self, at: int) -> Partition:
        """The partition that one of them comes from."""
        return self.topics[at], int(self.partitions[at])

    def places(self) -> set[Partition]:
        """The partitions that they come from."""
        return set(zip(self.topics, self.partitions.tolist(), strict=True))

    def first_offsets(self) -> dict[Partition, int]:
        """Offset of the first record of each partition."""
        return self._firsts(slice(None))

    def last_offsets(self) -> dict[Partition, int]:
        """Offset of the last record of each partition."""
        return self._firsts(slice(None, None, -1))

    def _firsts(self, order: slice) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        topics = set(self.topics)
        for topic in topics:
            here: Any = slice(None)
            if len(topics) > 1:
                here = np.fromiter(map(topic.__eq__, self.topics), np.bool_, len(self))
            numbers, places = np.unique(self.partitions[here][order], return_index=True)
            offsets = self.offsets[here][order][places]
            found |= zip(zip(repeat(topic), numbers.tolist()), offsets.tolist(), strict=True)
        return found


_NONE = np.zeros(0, np.int64)
_NOTHING = RecordBatch((), _NONE, _NONE, (), (), (), _NONE)
