"""Texts that lie one after another in one array, as the kernels take and give them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

T = TypeVar("T")


class StringColumn(NamedTuple):
    """Some texts, or rows of texts: where each begins and ends in one array."""

    text: NDArray[np.uint8]
    starts: Integers
    ends: Integers

    def at(self, places: Integers | NDArray[np.bool_]) -> StringColumn:
        """Some of them, or some of each row, in this order."""
        return StringColumn(self.text, self.starts[..., places], self.ends[..., places])


def concat(texts: Sequence[bytes], slack: int = 0) -> tuple[NDArray[np.uint8], Integers]:
    """Texts one after another, with so many bytes behind the last, and where each ends."""
    ends = np.fromiter(accumulate(map(len, texts)), np.int64, len(texts))
    return np.frombuffer(b"".join((*texts, bytes(slack))), dtype=np.uint8), ends


def from_offsets(text: NDArray[np.uint8], ends: Integers) -> StringColumn:
    """The texts of which each begins where the one before it ends."""
    return StringColumn(text, np.concatenate([np.zeros(1, np.int64), ends[:-1]]), ends)


def append(some: StringColumn, others: StringColumn) -> StringColumn:
    """Some texts and behind them others."""
    size = len(some.text)
    return StringColumn(
        np.concatenate([some.text, others.text]),
        np.concatenate([some.starts, others.starts + size]),
        np.concatenate([some.ends, others.ends + size]),
    )


def stack(every: Sequence[StringColumn], slack: int = 0) -> StringColumn:
    """Rows of as many texts each, under one another, with so many bytes behind the last."""
    texts = [*(each.text for each in every), np.zeros(slack, np.uint8)]
    begins = [0, *accumulate(map(len, texts))]
    return StringColumn(
        np.concatenate(texts),
        np.vstack([each.starts + begin for each, begin in zip(every, begins, strict=False)]),
        np.vstack([each.ends + begin for each, begin in zip(every, begins, strict=False)]),
    )


def factorize(values: Sequence[T]) -> tuple[list[T], Integers]:
    """Distinct values in order of first occurrence, and the code of each value."""
    found: dict[T, int] = {}
    which = [found.setdefault(value, len(found)) for value in values]
    return list(found), np.array(which, dtype=np.int64)
