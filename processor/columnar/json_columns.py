"""Columns of values as JSON texts, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
from numpy.typing import NDArray

from models.calibration.drift import UNKNOWN
from models.kernels.text.byte_strings import Integers, StringColumn, concat, from_offsets

Floats = NDArray[np.float64]


def encode_texts(texts: Sequence[bytes]) -> StringColumn:
    """Texts one after another."""
    return from_offsets(*concat(texts))


def encode_numbers(numbers: Integers | Floats) -> StringColumn:
    """Each number as JSON; of a table, in rows."""
    text = orjson.dumps(np.ravel(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
    found = np.frombuffer(text, np.uint8)
    marks = np.flatnonzero(found == ord(","))
    starts, ends = np.concatenate([[1], marks + 1]), np.concatenate([marks, [len(found) - 1]])
    return StringColumn(found, starts.reshape(numbers.shape), ends.reshape(numbers.shape))


def encode_known_numbers(numbers: Integers) -> StringColumn:
    """The same, null where a number is ``UNKNOWN``."""
    found = encode_numbers(numbers)
    missing, size = numbers == UNKNOWN, len(found.text)
    return StringColumn(
        np.concatenate([found.text, np.frombuffer(b"null", np.uint8)]),
        np.where(missing, size, found.starts),
        np.where(missing, size + 4, found.ends),
    )


def encode_vectors(tables: Sequence[Floats]) -> StringColumn:
    """Each row of some tables as JSON without its brackets."""
    dumped = [orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for table in tables]
    text, _ = concat(dumped)
    return StringColumn(
        text, np.flatnonzero(text == ord("[")) + 1, np.flatnonzero(text == ord("]"))
    )


def encode_rows(values: Floats, widths: Integers) -> StringColumn:
    """Flat rows as JSON without brackets.

    Args:
        widths: of each row, ascending.
    """
    found, begin = [], 0
    for width, count in zip(*np.unique(widths, return_counts=True), strict=True):
        end = begin + int(width) * int(count)
        found.append(values[begin:end].reshape(-1, width))
        begin = end
    return encode_vectors(found)
