"""How a block is read: its words as floats and integers, and rows in scaled units."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

FOREST, GAUSSIAN, DEVIATION, EXTREMES, NEIGHBORS = 0, 1, 2, 4, 5


# What NEIGHBORS was when samples were kept in single precision; see ``_pack.renewed``.
SINGLE_NEIGHBORS = 3


HEADER_WORDS = 4


PART_WORDS = 10


HUGE = 1e150


@njit(nogil=True, cache=True, inline="always")
def _scaled(value, centre, inverse, limit):
    """A value in scaled units, bounded; NaN stays NaN."""
    value = min(max(value, -HUGE), HUGE) if value == value else value
    value = (value - centre) * inverse
    if value > limit:
        value = limit
    elif value < -limit:
        value = -limit
    return value


@njit(nogil=True, cache=True)
def scale_all(values, centre, inverse, limit, scaled):
    """Samples, one after another, in scaled units (n, d)."""
    at = 0
    for sample in range(scaled.shape[0]):
        for feature in range(scaled.shape[1]):
            scaled[sample, feature] = _scaled(
                values[at], centre[feature], inverse[feature], limit[feature]
            )
            at += 1


@njit(nogil=True, cache=True, inline="always")
def _standardise(i64, f64, values, at, width, row):
    """A row as the model sees it; how many of its features can be used."""
    scaled = i64[2] == 1
    centre = HEADER_WORDS
    used = 0
    for feature in range(width):
        value = values[at + feature]
        if scaled:
            inverse, limit = f64[centre + width + feature], f64[centre + 2 * width + feature]
            value = _scaled(value, f64[centre + feature], inverse, limit)
        else:
            value = np.float64(np.float32(value))
        row[feature] = value
        if value == value:
            used += 1
    return used


@njit(nogil=True, cache=True)
def _views(words):
    return (
        words.view(np.float32),
        words.view(np.int16),
        words.view(np.uint16),
        words.view(np.int32),
        words.view(np.int64),
        words.view(np.float64),
    )
