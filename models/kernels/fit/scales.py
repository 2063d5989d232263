"""Compiled fitting of scales: robust centres and deviations, each sample left out."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

# Scale of a constant feature, as a share of its value, and what counts as the value 0.
CONSTANT_SHARE, NOTHING = 1e-3, 1e-100
# A MAD times this estimates the standard deviation of normal samples.
MAD_TO_DEVIATION = 1.482602218505602


@njit(nogil=True, cache=True)
def _middle(ordered, size, without):
    """Median of ``ordered[:size]`` but for the element at ``without`` (size: leave none out)."""
    if without >= size:
        upper = size // 2
        if size % 2 == 1:
            return ordered[upper]
        return 0.5 * ordered[upper - 1] + 0.5 * ordered[upper]
    rest = size - 1
    upper = rest // 2
    high = ordered[upper + (1 if without <= upper else 0)]
    if rest % 2 == 1:
        return high
    lower = upper - 1
    return 0.5 * ordered[lower + (1 if without <= lower else 0)] + 0.5 * high


@njit(nogil=True, cache=True)
def _merge_deviations(ordered, size, centre, deviations, rank):
    """|ordered − centre| ascending, and each element's place in it, by a merge outwards: O(n)."""
    right = 0
    end = size
    while right < end:
        half = (right + end) // 2
        if ordered[half] < centre:
            right = half + 1
        else:
            end = half
    left = right - 1
    for k in range(size):
        go_left = right >= size or (left >= 0 and centre - ordered[left] <= ordered[right] - centre)
        at = left if go_left else right
        deviations[k] = abs(ordered[at] - centre)
        rank[at] = k
        if go_left:
            left -= 1
        else:
            right += 1


@njit(nogil=True, cache=True)
def _floor(centre, noise):
    return noise * max(abs(centre), noise)


@njit(nogil=True, cache=True)
def _scale(mad, square, centre, noise):
    """MAD as a deviation; the root mean square where most values are equal; 0: constant."""
    floor = _floor(centre, noise)
    if mad * MAD_TO_DEVIATION > floor:
        return mad * MAD_TO_DEVIATION
    spread = np.sqrt(square)
    return spread if spread > floor else 0.0


@njit(nogil=True, cache=True)
def robust_scales(columns, noise, centres, scales):
    """Median and robust scale of each feature.

    Args:
        columns: (d, n), ascending, NaN last.
        noise: what is smaller than this share of the median is rounding.
        centres, scales: (d,), filled: NaN for a feature never seen, scale 0 for a constant one.
    """
    width, samples = columns.shape
    deviations = np.empty(samples)
    rank = np.empty(samples, dtype=np.int64)
    for feature in range(width):
        ordered = columns[feature]
        size = samples
        while size > 0 and ordered[size - 1] != ordered[size - 1]:
            size -= 1
        if size == 0:
            centres[feature] = scales[feature] = np.nan
            continue
        centre = _middle(ordered, size, size)
        mad, square = _median_deviation(ordered, size, centre), 0.0
        if not mad * MAD_TO_DEVIATION > _floor(centre, noise):
            square = _spread(ordered, size, centre, deviations, rank) / size
        centres[feature] = centre
        scales[feature] = _scale(mad, square, centre, noise)


@njit(nogil=True, cache=True)
def _median_deviation(ordered, size, centre):
    """Median of |ordered − centre|, without sorting: O(log n)."""
    upper = size // 2
    high = _deviation(ordered, size, centre, upper)
    if size % 2 == 1:
        return high
    return 0.5 * _deviation(ordered, size, centre, upper - 1) + 0.5 * high


@njit(nogil=True, cache=True)
def _deviation(ordered, size, centre, rank):
    """The least |ordered − centre| but ``rank``; so many and itself lie side by side."""
    left, last = 0, size - 1 - rank
    while left < last:
        half = (left + last) // 2
        if centre - ordered[half] > ordered[half + rank + 1] - centre:
            left = half + 1
        else:
            last = half
    return max(abs(ordered[left] - centre), abs(ordered[left + rank] - centre))


@njit(nogil=True, cache=True)
def _spread(ordered, size, centre, deviations, rank):
    """Deviations from a centre, ascending, as ``_merge_deviations``; gives the sum of squares."""
    _merge_deviations(ordered, size, centre, deviations, rank)
    square = 0.0
    for k in range(size):
        square += deviations[k] * deviations[k]
    return square


@njit(nogil=True, cache=True)
def leave_one_out_deviations(columns, order, noise, cap, constant, left_out):
    """Mean capped |z| of each sample by the median and MAD of the others, exactly.

    Args:
        columns: (d, n), NaN where absent; ``order``: its argsort along the samples, NaN last.
        noise: what is smaller than this share of the median is rounding.
        cap: bound of one feature's deviation; ``constant``: that of a constant feature.
        left_out: (n,), filled; NaN for a sample without evidence.
    """
    width, samples = columns.shape
    ordered, deviations = np.empty(samples), np.empty(samples)
    rank = np.empty(samples, dtype=np.int64)
    usable = np.zeros(samples, dtype=np.int64)
    left_out[:] = 0.0
    for feature in range(width):
        column = columns[feature]
        size = 0
        for k in range(samples):
            value = column[order[feature, k]]
            if value == value:
                ordered[size] = value
                size += 1
        if size <= 1:
            continue
        merged = _middle(ordered, size, 0)
        square = _spread(ordered, size, merged, deviations, rank)
        for k in range(size):
            centre = _middle(ordered, size, k)
            if centre != merged:
                square = _spread(ordered, size, centre, deviations, rank)
                merged = centre
            own = abs(ordered[k] - centre)
            rest = max(square - own * own, 0.0) / (size - 1)
            scale = _scale(_middle(deviations, size, rank[k]), rest, centre, noise)
            # As ``constant_scale`` of block.py.
            unit = CONSTANT_SHARE * (abs(centre) if abs(centre) >= NOTHING else 1.0)
            z = min(own / unit, constant)
            if scale > 0.0:
                z = own / scale
            sample = order[feature, k]
            left_out[sample] += min(z, cap)
            usable[sample] += 1
    for sample in range(samples):
        left_out[sample] = left_out[sample] / usable[sample] if usable[sample] > 0 else np.nan


@njit(nogil=True, cache=True)
def extremes(z, least, reach, excess):
    """Largest |z| of each feature, and how far each sample goes beyond those of the others.

    Args:
        z: (n, d), NaN where absent.
        least: what no reach is below.
        reach: (d,), filled: largest |z|.
        excess: (n,), filled: of the worst feature, as a share of its reach; NaN without any.
    """
    largest = np.full((2, z.shape[1]), least)
    _two_largest(z, largest)
    reach[:] = largest[0]
    for sample in range(z.shape[0]):
        worst, seen = 0.0, False
        for feature in range(z.shape[1]):
            size = abs(z[sample, feature])
            if size == size:
                seen = True
                of_others = largest[1 if size == largest[0, feature] else 0, feature]
                worst = max(worst, size / of_others - 1.0)
        excess[sample] = worst if seen else np.nan


@njit(nogil=True, cache=True)
def _two_largest(z, largest):
    """The two largest |z| of each feature, into ``largest`` (2, d), where they exceed it."""
    for sample in range(z.shape[0]):
        for feature in range(z.shape[1]):
            size = abs(z[sample, feature])
            if size > largest[1, feature]:
                largest[1, feature] = min(size, largest[0, feature])
                largest[0, feature] = max(size, largest[0, feature])
