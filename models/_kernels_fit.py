"""Compiled fitting: robust scales, whitening, and leave-one-out scores.

A kernel that is called from another file goes on in its old form in that file's cache once it is
changed: none are, but for those of ``_nearest.py``.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models._lanes import LANES
from models._memory import address
from models._nearest import (
    FIVE,
    mean_of_five,
    means_among,
    means_of_some,
    padded,
    rotate,
    weigh_ages,
)

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
        cap: bound of one feature's deviation; ``constant``: deviation from a constant feature.
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
            z = constant if own > _floor(centre, noise) else 0.0
            if scale > 0.0:
                z = own / scale
            sample = order[feature, k]
            left_out[sample] += min(z, cap)
            usable[sample] += 1
    for sample in range(samples):
        left_out[sample] = left_out[sample] / usable[sample] if usable[sample] > 0 else np.nan


@njit(nogil=True, cache=True)
def _turned(samples, recency, divisor):
    """How much distances count, the older the more, divided by ``divisor``, or by 1 if that is 0.

    That of sample i to sample j at n + j − i; NaN for the sample itself, which is never among its
    nearest, and behind all samples, see ``_room``. Ages run backwards in a circle from each sample,
    so that it is scored as if it were the next after the others: what a new record will meet.
    """
    weights = np.full(samples + padded(samples) + 2 * LANES, np.float32(np.nan))
    weigh_ages(samples, recency, weights)
    factor = np.float32(1.0) / np.float32(max(divisor, 1))
    for s in range(samples):
        weights[s] *= factor
        weights[samples + s] = weights[s]
    weights[samples:][:1] = np.float32(np.nan)
    return weights


@njit(nogil=True, cache=True)
def _leave_out_complete(columns, first, stride, wanted, recency, left_out):
    """What ``_leave_out`` gives of ``LANES`` samples or more, without gaps."""
    width, samples = columns.shape
    weights = _turned(samples, recency, width)
    total, nearest = np.empty(samples, dtype=np.float32), np.empty(wanted, dtype=np.float32)
    for sample in range(first, samples, stride):
        total[:] = np.float32(0.0)
        for feature in range(width):
            column = columns[feature]
            value = column[sample]
            for s in range(samples):
                total[s] += abs(value - column[s])
        counted = weights[samples - sample :]
        for s in range(samples):
            total[s] *= counted[s]
        left_out[sample] = _mean_nearest(total, wanted, nearest)


@njit(nogil=True, cache=True)
def _room(width, samples):
    """Place for so many samples, feature after feature, as ``means_of_some`` takes them."""
    return np.full((width, padded(samples) + 2 * LANES), np.float32(np.nan))


@njit(nogil=True, cache=True)
def _leave_out_five(columns, first, stride, recency, left_out):
    """What ``_leave_out_complete`` gives of the five nearest."""
    width, samples = columns.shape
    seen, weights = _room(width, samples), _turned(samples, recency, width)
    seen[:, :samples] = columns
    if stride > 1:
        asked = np.empty(width, dtype=np.float32)
        means_of_some(seen, samples, first, stride, weights, asked, left_out)
        return
    room = seen.shape[1]
    forth, back = np.full((2, LANES + room), np.float32(np.nan))
    forth[LANES + 1 : LANES + samples] = weights[1:samples]
    back[LANES + 1 : LANES + samples] = weights[samples - 1 : 0 : -1]
    infinite = np.float32(np.inf)
    least, asked = np.full((FIVE, room), infinite), np.full(LANES + width, infinite)
    means_among(seen, samples, forth, back, least, asked, left_out)


@njit(nogil=True, cache=True)
def _leave_out_gaps(columns, first, stride, wanted, recency, left_out):
    """The same over the features that both have, at least half of the sample's own; of any n."""
    width, samples = columns.shape
    weights = _turned(samples, recency, 1)
    total = np.full(padded(samples), np.float32(np.inf))
    shared, nearest = np.empty(samples, dtype=np.float32), np.empty(wanted, dtype=np.float32)
    for sample in range(first, samples, stride):
        total[:samples] = np.float32(0.0)
        shared[:] = np.float32(0.0)
        own = 0
        for feature in range(width):
            column = columns[feature]
            value = column[sample]
            if value != value:
                continue
            own += 1
            for s in range(samples):
                if column[s] == column[s]:
                    total[s] += abs(value - column[s])
                    shared[s] += np.float32(1.0)
        counted = weights[samples - sample :]
        for s in range(samples):
            enough = shared[s] > 0 and 2.0 * shared[s] >= own
            total[s] = total[s] / shared[s] * counted[s] if enough else np.float32(np.inf)
        left_out[sample] = _mean_of(total, wanted, nearest)


@njit(nogil=True, cache=True)
def _mean_of(total, wanted, nearest):
    if wanted == FIVE:
        return mean_of_five(address(total), total.size)
    return _mean_nearest(total, wanted, nearest)


@njit(nogil=True, cache=True)
def _mean_nearest(total, wanted, nearest):
    """Mean of the ``wanted`` least finite totals, NaN without any."""
    nearest[:] = np.float32(np.inf)
    for s in range(total.size - 1, -1, -1):
        at = wanted
        while at > 0 and nearest[at - 1] > total[s]:
            if at < wanted:
                nearest[at] = nearest[at - 1]
            at -= 1
        if at < wanted:
            nearest[at] = total[s]
    mean, found = 0.0, 0
    for x in nearest:
        if x < np.float32(np.inf):
            mean += np.float64(x)
            found += 1
    return mean / found if found > 0 else np.nan


@njit(nogil=True, cache=True)
def _leave_out(columns, gaps, first, stride, wanted, recency, left_out):
    """Mean distance to the nearest others of every ``stride``-th sample from ``first`` on.

    Args:
        columns: (d, n).
        gaps: whether any of them has one.
    """
    if gaps or columns.shape[1] < LANES:
        _leave_out_gaps(columns, first, stride, wanted, recency, left_out)
    elif wanted == FIVE:
        _leave_out_five(columns, first, stride, recency, left_out)
    else:
        _leave_out_complete(columns, first, stride, wanted, recency, left_out)


@njit(nogil=True, cache=True)
def leave_one_out_neighbors(columns, wanted, recency, every, left_out):
    """Mean distance of samples to their ``wanted`` nearest others, into ``left_out`` (n,).

    Of every so many-th sample from the newest on, NaN of the others.

    The distance is the mean |difference| over the features that both have, at least half of the
    sample's own, times 1 + ``recency`` · age / n. ``columns``: (d, n) float32, NaN where absent.
    """
    samples = columns.shape[1]
    left_out[:] = np.nan
    first = (samples - 1) % every
    _leave_out(columns, np.isnan(columns).any(), first, every, wanted, recency, left_out)


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


@njit(nogil=True, cache=True)
def _whiten(covariance, samples, shrinkage, least, axes):
    """Inverse Cholesky factor of the shrunk covariance: axes @ x has uncorrelated unit parts."""
    width = covariance.shape[0]
    mean = 0.0
    for i in range(width):
        mean += covariance[i, i] / samples / width
    axes[:] = 0.0
    if mean <= 0.0:
        for i in range(width):
            axes[i, i] = 1.0
        return
    factor = np.zeros((width, width))
    for i in range(width):
        for j in range(i + 1):
            value = (1.0 - shrinkage) * covariance[i, j] / samples
            if i == j:
                value += shrinkage * mean
            for k in range(j):
                value -= factor[i, k] * factor[j, k]
            if i == j:
                factor[i, i] = np.sqrt(max(value, least * mean))
            else:
                factor[i, j] = value / factor[j, j]
    for i in range(width):
        for k in range(i):
            value = 0.0
            for j in range(k, i):
                value -= factor[i, j] * axes[j, k]
            axes[i, k] = value / factor[i, i]
        axes[i, i] = 1.0 / factor[i, i]


@njit(nogil=True, cache=True)
def decorrelate(samples, folds, wanted, recency, every, least, axes, columns, left_out):
    """Whitened samples and leave-one-out distances between them.

    The covariance is shrunk towards a multiple of the identity by the share of Ledoit and Wolf
    (2004). For the distances of a sample the axes are learnt without its fold (every folds-th
    sample).

    Args:
        samples: (n, d), complete. least: bound of an axis' variance, as a share of their mean.
        axes: (d, d), filled: the inverse Cholesky factor, lower triangular.
        columns: (d, n) float32, filled: the samples along the axes.
        left_out: (n,), filled, as ``leave_one_out_neighbors`` does.
    """
    n, width = samples.shape
    centre = np.zeros(width)
    for s in range(n):
        for i in range(width):
            centre[i] += samples[s, i] / n
    centred = samples - centre
    fold_squares = np.zeros((folds, width, width))
    fourth = 0.0
    for s in range(n):
        length = 0.0
        for i in range(width):
            length += centred[s, i] * centred[s, i]
            for j in range(i + 1):
                fold_squares[s % folds, i, j] += centred[s, i] * centred[s, j]
        fourth += length * length
    squares = np.zeros((width, width))
    for fold in range(folds):
        squares += fold_squares[fold]
    norm = trace = 0.0
    for i in range(width):
        trace += squares[i, i] / n
        for j in range(i + 1):
            norm += (1.0 if i == j else 2.0) * (squares[i, j] / n) ** 2
    spread = norm - trace * trace / width
    shrinkage = 1.0
    if spread > 0.0:
        shrinkage = min(max((fourth / n - norm) / n / spread, 0.0), 1.0)
    features = np.full((width, padded(n)), np.nan)
    features[:, :n] = samples.T
    seen, weights, asked = _room(width, n), _turned(n, recency, width), np.empty(width, np.float32)
    left_out[:] = np.nan
    for fold in range(min(folds, n)):
        held = (n - fold + folds - 1) // folds
        _whiten(squares - fold_squares[fold], max(n - held, 1), shrinkage, least, axes)
        rotate(features, axes, seen)
        if wanted == FIVE and n >= LANES:
            means_of_some(seen, n, fold, folds * every, weights, asked, left_out)
        else:
            columns[:] = seen[:, :n]
            _leave_out(columns, False, fold, folds * every, wanted, recency, left_out)
    _whiten(squares, n, shrinkage, least, axes)
    rotate(features, axes, seen)
    columns[:] = seen[:, :n]
