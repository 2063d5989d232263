"""Compiled distances of a row to many samples, and the mean of the five least.

Whoever changes this has to clear numba's cache: it knows only a kernel's own file.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models import _lanes as lanes
from models._lanes import LANES, add, gap, less, load, more, spread
from models._memory import load_double, load_single, prefetch, store

FIVE: Final = 5
"""The usual number of neighbours, for which there is a shorter way."""

LINE: Final = 64
_ZERO, _INFINITE = np.float32(0.0), np.float32(np.inf)
_AT_ONCE = 8


@njit(nogil=True, cache=True)
def padded(count):
    """So many numbers, and as many more as fill the lanes."""
    return (count + LANES - 1) // LANES * LANES


@njit(nogil=True, cache=True)
def weigh_ages(samples, recency, ages):
    """How much the distance to each training sample counts: the older, the more."""
    step = recency / max(samples, 1)
    for s in range(samples):
        ages[s] = np.float32(1.0 + step * (samples - 1 - s))


@njit(nogil=True, cache=True, inline="always")
def _sums(at, other, stride, asked, width, line, end):
    """Sums of |difference| of a row to two times sixteen samples; how far memory was fetched."""
    sums = further = spread(_ZERO)
    feature = 0
    while feature + 4 <= width:
        a, b = spread(load_single(asked)), spread(load_single(asked + 4))
        c, d = spread(load_single(asked + 8)), spread(load_single(asked + 12))
        left = add(gap(a, load(at)), gap(b, load(at + stride)))
        right = add(gap(c, load(at + 2 * stride)), gap(d, load(at + 3 * stride)))
        sums = add(sums, add(left, right))
        left = add(gap(a, load(other)), gap(b, load(other + stride)))
        right = add(gap(c, load(other + 2 * stride)), gap(d, load(other + 3 * stride)))
        further = add(further, add(left, right))
        at += 4 * stride
        other += 4 * stride
        asked += 16
        feature += 4
        if line < end:
            for _ in range(_AT_ONCE):
                prefetch(line)
                line += LINE
    while feature < width:
        a = spread(load_single(asked))
        sums, further = add(sums, gap(a, load(at))), add(further, gap(a, load(other)))
        at += stride
        other += stride
        asked += 4
        feature += 1
    return sums, further, line


@njit(nogil=True, cache=True)
def distances(samples_at, samples, asked_at, width, weights_at, total_at, line, end):
    """Weighed sums of |difference| between a row and each sample; how far memory was fetched.

    Meanwhile memory that is needed soon is fetched, a few lines at a time: as many at once as there
    are would have to wait for one another.

    Args:
        samples_at: address of the samples, feature after feature, float32.
        samples: how many, ``LANES`` at least.
        asked_at, width: address of the row, float32, and how many features it has.
        weights_at: address of a weight of each sample, float32.
        total_at: out, address of the distances, float32.
        line, end: what to fetch.
    """
    last = 4 * (samples - LANES)
    for begin in range(0, 4 * samples, 8 * LANES):
        # The last of them are summed up twice where that fills the lanes.
        a, b = min(begin, last), min(begin + 4 * LANES, last)
        sums, further, line = _sums(
            samples_at + a, samples_at + b, 4 * samples, asked_at, width, line, end
        )
        store(total_at + a, lanes.times(sums, load(weights_at + a)))
        store(total_at + b, lanes.times(further, load(weights_at + b)))
    return line


@njit(nogil=True, cache=True)
def project(matrix_at, width, row_at):
    """The product of a row and an upper triangular matrix, in place.

    Args:
        matrix_at: address of the matrix, row after row, float32; ``LANES`` more behind it are read.
        width: how many rows it has.
        row_at: address of the row, float64, of ``padded`` room.
    """
    # From the last axes on: those before them need no later ones.
    for begin in range((width - 1) // LANES * LANES, -1, -LANES):
        sums = spread(0.0)
        for k in range(min(width, begin + LANES)):
            factors = lanes.widened(load(matrix_at + 4 * (k * width + begin)))
            sums = add(sums, lanes.times(spread(load_double(row_at + 8 * k)), factors))
        store(row_at + 8 * begin, sums)


@njit(nogil=True, cache=True, inline="always")
def _ordered(a, b):
    return less(a, b), more(a, b)


@njit(nogil=True, cache=True, inline="always")
def _merged(a, b, c, d, e, f, g, h, i, j):
    """The five least of ten, ascending; both fives are."""
    a, b, c, d, e = less(a, j), less(b, i), less(c, h), less(d, g), less(e, f)
    # A sorting network of nine.
    a, b = _ordered(a, b)
    d, e = _ordered(d, e)
    c, e = _ordered(c, e)
    c, d = _ordered(c, d)
    a, d = _ordered(a, d)
    a, c = _ordered(a, c)
    b, e = _ordered(b, e)
    b, d = _ordered(b, d)
    b, c = _ordered(b, c)
    return a, b, c, d, e


@njit(nogil=True, cache=True)
def mean_of_five(total_at, count):
    """Mean of the five least finite ones, NaN without any.

    Args:
        total_at, count: address of so many float32, ``padded`` with infinity.
    """
    a = b = c = d = e = spread(_INFINITE)
    for begin in range(0, 4 * count, 4 * LANES):
        x = load(total_at + begin)
        a, x = _ordered(x, a)
        b, x = _ordered(x, b)
        c, x = _ordered(x, c)
        d, x = _ordered(x, d)
        e = less(x, e)
    turn = lanes.turn_8
    a, b, c, d, e = _merged(a, b, c, d, e, turn(a), turn(b), turn(c), turn(d), turn(e))
    turn = lanes.turn_4
    a, b, c, d, e = _merged(a, b, c, d, e, turn(a), turn(b), turn(c), turn(d), turn(e))
    turn = lanes.turn_2
    a, b, c, d, e = _merged(a, b, c, d, e, turn(a), turn(b), turn(c), turn(d), turn(e))
    turn = lanes.turn_1
    a, b, c, d, e = _merged(a, b, c, d, e, turn(a), turn(b), turn(c), turn(d), turn(e))
    mean, found = 0.0, 0
    for x in (a, b, c, d, e):
        if lanes.first(x) < _INFINITE:
            mean += np.float64(lanes.first(x))
            found += 1
    return mean / found if found > 0 else np.nan
