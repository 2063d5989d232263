"""Compiled distances of a row to many samples, and the mean of the five least."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from models.kernels import simd as lanes
from models.kernels.memory import address, load_double, load_single, prefetch, store
from models.kernels.simd import (
    LANES,
    abs_diff,
    add,
    load,
    load_binary16s,
    mask_nan,
    maximum,
    minimum,
    splat,
)

FIVE: Final = 5
"""The usual number of neighbours, for which there is a shorter way."""

KEPT_UNIT: Final = 16.0
"""Samples are kept in half precision, in units of so many robust ones: up to a million of these."""

KEPT_LIMIT: Final = 65_504.0
"""The largest number in half precision."""

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
def _in_kept_units(values):
    """Robust units as half precision can hold them; what is not a number stays none."""
    values = lanes.times(values, splat(np.float32(1.0 / KEPT_UNIT)))
    return minimum(splat(np.float32(KEPT_LIMIT)), maximum(values, splat(np.float32(-KEPT_LIMIT))))


@njit(nogil=True, cache=True)
def as_kept(row_at, width, asked_at):
    """A row as samples are kept, so that there is no distance between what is equal.

    Args:
        row_at: address of the row, float64 in robust units, of ``padded`` room.
        width: how many features it has.
        asked_at: out, address of the row, float32 in kept units, of ``padded`` room.
    """
    for feature in range(0, width, LANES):
        row = lanes.narrowed(lanes.load_doubles(row_at + 8 * feature))
        store(asked_at + 4 * feature, lanes.as_binary16s(_in_kept_units(row)))


@njit(nogil=True, cache=True)
def keep(samples_at, count, kept_at):
    """Round samples to what is kept of them, in place, and write that.

    Args:
        samples_at: address of so many numbers, float32 in robust units, of ``padded`` room.
        kept_at: out, address of them as they are kept, half precision, of ``padded`` room.
    """
    for at in range(0, count, LANES):
        units = _in_kept_units(load(samples_at + 4 * at))
        lanes.store_binary16s(kept_at + 2 * at, units)
        rounded = lanes.times(lanes.as_binary16s(units), splat(np.float32(KEPT_UNIT)))
        store(samples_at + 4 * at, rounded)


@njit(nogil=True, cache=True, inline="always")
def _sums(load, at, other, stride, asked, width, line, end):
    """Sums of |difference| of a row to two times sixteen samples; how far memory was fetched.

    ``load`` takes sixteen samples' values from an address.
    """
    sums = further = splat(_ZERO)
    feature = 0
    while feature + 4 <= width:
        a, b = splat(load_single(asked)), splat(load_single(asked + 4))
        c, d = splat(load_single(asked + 8)), splat(load_single(asked + 12))
        left = add(abs_diff(a, load(at)), abs_diff(b, load(at + stride)))
        right = add(abs_diff(c, load(at + 2 * stride)), abs_diff(d, load(at + 3 * stride)))
        sums = add(sums, add(left, right))
        left = add(abs_diff(a, load(other)), abs_diff(b, load(other + stride)))
        right = add(abs_diff(c, load(other + 2 * stride)), abs_diff(d, load(other + 3 * stride)))
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
        a = splat(load_single(asked))
        sums, further = add(sums, abs_diff(a, load(at))), add(further, abs_diff(a, load(other)))
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
        samples_at: address of the samples as they are kept, feature after feature, half precision.
        samples: how many, ``LANES`` at least.
        asked_at, width: address of the row as it is kept, float32, and how many features it has.
        weights_at: address of a weight of each sample, float32.
        total_at: out, address of the distances, float32.
        line, end: what to fetch.
    """
    last = samples - LANES
    for begin in range(0, samples, 2 * LANES):
        # The last of them are summed up twice where that fills the lanes.
        a, b = min(begin, last), min(begin + LANES, last)
        sums, further, line = _sums(
            load_binary16s, samples_at + 2 * a, samples_at + 2 * b, 2 * samples, asked_at, width,
            line, end,
        )  # fmt: skip
        store(total_at + 4 * a, lanes.times(sums, load(weights_at + 4 * a)))
        store(total_at + 4 * b, lanes.times(further, load(weights_at + 4 * b)))
    return line


@njit(nogil=True, cache=True)
def shared_distances(samples_at, samples, asked_at, width, total_at, shared_at):
    """Sums of |difference| over the features that a row and each sample have, and how many.

    Args:
        samples_at, samples, asked_at, width: as for ``distances``; NaN is what one has not.
        total_at, shared_at: out, addresses of the sums and the numbers of features, float32.
    """
    ones = splat(np.float32(1.0))
    for begin in range(0, samples, LANES):
        at = min(begin, samples - LANES)
        sums = shared = splat(_ZERO)
        for feature in range(width):
            asked = splat(load_single(asked_at + 4 * feature))
            apart = abs_diff(asked, load_binary16s(samples_at + 2 * (feature * samples + at)))
            sums, shared = add(sums, mask_nan(apart, apart)), add(shared, mask_nan(apart, ones))
        store(total_at + 4 * at, sums)
        store(shared_at + 4 * at, shared)


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
        sums = splat(0.0)
        for k in range(min(width, begin + LANES)):
            factors = lanes.to_float64(load(matrix_at + 4 * (k * width + begin)))
            sums = add(sums, lanes.times(splat(load_double(row_at + 8 * k)), factors))
        store(row_at + 8 * begin, sums)


@njit(nogil=True, cache=True)
def rotate(features, axes, seen):
    """Samples along the axes of a lower triangular matrix.

    Args:
        features: (d, ``padded``) float64: the samples, and behind them no numbers.
        axes: (d, d) float64.
        seen: (d, as many or more) float32, filled.
    """
    width, room = features.shape
    features_at, axes_at, seen_at = address(features), address(axes), address(seen)
    for sample in range(0, room, LANES):
        for axis in range(width):
            sums = splat(0.0)
            for k in range(axis + 1):
                factor = splat(load_double(axes_at + 8 * (axis * width + k)))
                values = lanes.load_doubles(features_at + 8 * (k * room + sample))
                sums = add(sums, lanes.times(factor, values))
            store(seen_at + 4 * (axis * seen.shape[1] + sample), lanes.narrowed(sums))


@njit(nogil=True, cache=True, inline="always")
def _ordered(a, b):
    return minimum(a, b), maximum(a, b)


@njit(nogil=True, cache=True, inline="always")
def _merged(a, b, c, d, e, f, g, h, i, j):
    """The five least of ten, ascending; both fives are."""
    a, b, c, d, e = minimum(a, j), minimum(b, i), minimum(c, h), minimum(d, g), minimum(e, f)
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


@njit(nogil=True, cache=True, inline="always")
def _with(x, a, b, c, d, e):
    """The five least of each lane, ascending, with one more; what is not a number is none."""
    a, x = _ordered(x, a)
    b, x = _ordered(x, b)
    c, x = _ordered(x, c)
    d, x = _ordered(x, d)
    return a, b, c, d, minimum(x, e)


@njit(nogil=True, cache=True, inline="always")
def _mean_of_lanes(a, b, c, d, e):
    """Mean of the five least finite ones of all lanes, each of which has its five ascending."""
    turn = lanes.rotate_8
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


@njit(nogil=True, cache=True)
def mean_of_five(total_at, count):
    """Mean of the five least finite ones, NaN without any.

    Args:
        total_at, count: address of so many float32, ``padded`` with infinity.
    """
    a = b = c = d = e = splat(_INFINITE)
    for begin in range(0, 4 * count, 4 * LANES):
        a, b, c, d, e = _with(load(total_at + begin), a, b, c, d, e)
    return _mean_of_lanes(a, b, c, d, e)


@njit(nogil=True, cache=True)
def means_of_some(seen, samples, first, step, weights, asked, means):
    """Mean weighed distance of every ``step``-th sample from ``first`` on to its five nearest.

    What is not a number is never among these.

    Args:
        seen: (d, ``padded`` + 2 ``LANES``) float32: the samples, and behind them no numbers.
        samples: how many.
        weights: how much the distance of sample i to sample j counts, at samples + j - i; none for
            itself. (``samples`` + columns of ``seen``,) float32.
        asked: (d,) float32, scratch.
        means: (samples,), filled.
    """
    width, room = seen.shape
    samples_at, asked_at = address(seen), address(asked)
    for sample in range(first, samples, step):
        asked[:] = seen[:, sample]
        weights_at = address(weights) + 4 * (samples - sample)
        a = b = c = d = e = splat(_INFINITE)
        for at in range(0, 4 * samples, 8 * LANES):
            other = at + 4 * LANES
            sums, further, _ = _sums(
                load, samples_at + at, samples_at + other, 4 * room, asked_at, width, 0, 0
            )
            a, b, c, d, e = _with(lanes.times(sums, load(weights_at + at)), a, b, c, d, e)
            a, b, c, d, e = _with(lanes.times(further, load(weights_at + other)), a, b, c, d, e)
        means[sample] = _mean_of_lanes(a, b, c, d, e)


@njit(nogil=True, cache=True)
def means_among(seen, samples, forth, back, least, asked, means):
    """What ``means_of_some`` gives of every sample, with half of the work.

    A distance is the same both ways, so it is summed up once: for the sample at hand, which keeps
    its five least in registers, and for all those behind it, which keep theirs in memory.

    Args:
        seen, samples: as there.
        forth: how much the distance to the sample so many places further on counts, at ``LANES`` +
            places; none up to 0 places. (``LANES`` + columns of ``seen``,) float32.
        back: the same of the distance from there.
        least: (``FIVE``, columns of ``seen``) float32, scratch, all infinite.
        asked: (``LANES`` + d,) float32, scratch, all infinite.
        means: (samples,), filled.
    """
    width, room = seen.shape
    samples_at, least_at, stride = address(seen), address(least), 4 * room
    few_at = address(asked)
    asked_at = few_at + 4 * LANES
    for sample in range(samples):
        asked[LANES:] = seen[:, sample]
        forth_at = address(forth) + 4 * (LANES - sample)
        back_at = address(back) + 4 * (LANES - sample)
        a = b = c = d = e = splat(_INFINITE)
        for at in range((sample + 1) // LANES * LANES * 4, 4 * samples, 8 * LANES):
            other = at + 4 * LANES
            sums, further, _ = _sums(
                load, samples_at + at, samples_at + other, stride, asked_at, width, 0, 0
            )
            a, b, c, d, e = _with(lanes.times(sums, load(forth_at + at)), a, b, c, d, e)
            a, b, c, d, e = _with(lanes.times(further, load(forth_at + other)), a, b, c, d, e)
            _note(lanes.times(sums, load(back_at + at)), least_at + at, stride)
            _note(lanes.times(further, load(back_at + other)), least_at + other, stride)
        asked[:FIVE] = least[:, sample]
        a, b, c, d, e = _with(load(few_at), a, b, c, d, e)
        means[sample] = _mean_of_lanes(a, b, c, d, e)


@njit(nogil=True, cache=True, inline="always")
def _note(x, least_at, stride):
    """The five least of sixteen samples, each rank in a row of its own, with one more of each."""
    a, b, c, d, e = _with(
        x,
        load(least_at),
        load(least_at + stride),
        load(least_at + 2 * stride),
        load(least_at + 3 * stride),
        load(least_at + 4 * stride),
    )
    store(least_at, a)
    store(least_at + stride, b)
    store(least_at + 2 * stride, c)
    store(least_at + 3 * stride, d)
    store(least_at + 4 * stride, e)
