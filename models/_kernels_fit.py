"""Compiled fitting: robust scales, whitening, and leave-one-out scores."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

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
def robust_scales(columns, order, noise, cap, constant, centres, scales, left_out):
    """Median and robust scale of each feature, and leave-one-out deviations of each sample.

    Args:
        columns: (d, n), NaN where absent; ``order``: its argsort along the samples, NaN last.
        noise: what is smaller than this share of the median is rounding.
        cap: bound of one feature's deviation; ``constant``: deviation from a constant feature.
        centres, scales: (d,), filled: NaN for a feature never seen, scale 0 for a constant one.
        left_out: (n,), filled: mean capped |z| of each sample by the median and MAD of the others,
            exactly; NaN for a sample without evidence.
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
        if size == 0:
            centres[feature] = scales[feature] = np.nan
            continue
        centre = _middle(ordered, size, size)
        _merge_deviations(ordered, size, centre, deviations, rank)
        square = 0.0
        for k in range(size):
            square += deviations[k] * deviations[k]
        scale = _scale(_middle(deviations, size, size), square / size, centre, noise)
        centres[feature], scales[feature] = centre, scale
        if size == 1:
            continue
        merged = centre
        for k in range(size):
            centre = _middle(ordered, size, k)
            if centre != merged:
                _merge_deviations(ordered, size, centre, deviations, rank)
                merged = centre
                square = 0.0
                for j in range(size):
                    square += deviations[j] * deviations[j]
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
def _left_out(columns, gaps, sample, own, wanted, step, nearest, total, shared):
    """Mean distance of a sample to its ``wanted`` nearest others, NaN without any.

    Ages run backwards in a circle from the sample, so that each is scored as if it were the next
    after the others: what a new record will meet.
    """
    width, samples = columns.shape
    total[:] = np.float32(0.0)
    shared[:] = np.float32(0.0) if gaps else np.float32(width)
    for feature in range(width):
        value = columns[feature, sample]
        if value != value:
            continue
        column = columns[feature]
        if gaps:
            for s in range(samples):
                if column[s] == column[s]:
                    total[s] += abs(value - column[s])
                    shared[s] += np.float32(1.0)
        else:
            for s in range(samples):
                total[s] += abs(value - column[s])
    found = 0
    for s in range(samples):
        if s == sample or shared[s] == 0.0 or 2.0 * shared[s] < own:
            continue
        age = sample - s - 1 + (samples if s > sample else 0)
        distance = total[s] * np.float32(1.0 + step * age) / shared[s]
        if found == wanted and not distance < nearest[found - 1]:
            continue
        at = found if found < wanted else found - 1
        while at > 0 and nearest[at - 1] > distance:
            nearest[at] = nearest[at - 1]
            at -= 1
        nearest[at] = distance
        found = min(found + 1, wanted)
    mean = 0.0
    for at in range(found):
        mean += np.float64(nearest[at])
    return mean / found if found > 0 else np.nan


@njit(nogil=True, cache=True)
def leave_one_out_neighbors(columns, wanted, recency, left_out):
    """Mean distance of each sample to its ``wanted`` nearest others, into ``left_out`` (n,).

    The distance is the mean |difference| over the features that both have, at least half of the
    sample's own, times 1 + ``recency`` · age / n. ``columns``: (d, n) float32, NaN where absent.
    """
    width, samples = columns.shape
    step = recency / samples
    gaps = False
    present = np.zeros(samples, dtype=np.int64)
    for feature in range(width):
        for s in range(samples):
            if columns[feature, s] == columns[feature, s]:
                present[s] += 1
            else:
                gaps = True
    total = np.empty(samples, dtype=np.float32)
    shared = np.empty(samples, dtype=np.float32)
    nearest = np.empty(wanted, dtype=np.float32)
    for sample in range(samples):
        left_out[sample] = _left_out(
            columns, gaps, sample, present[sample], wanted, step, nearest, total, shared
        )


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
def _rotate(samples, axes, columns):
    width = axes.shape[0]
    for s in range(samples.shape[0]):
        for axis in range(width):
            value = 0.0
            for k in range(axis + 1):
                value += axes[axis, k] * samples[s, k]
            columns[axis, s] = value


@njit(nogil=True, cache=True)
def decorrelate(samples, folds, wanted, recency, least, axes, columns, left_out):
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
    total = np.empty(n, dtype=np.float32)
    shared = np.empty(n, dtype=np.float32)
    nearest = np.empty(wanted, dtype=np.float32)
    for fold in range(min(folds, n)):
        held = (n - fold + folds - 1) // folds
        _whiten(squares - fold_squares[fold], max(n - held, 1), shrinkage, least, axes)
        _rotate(samples, axes, columns)
        for s in range(fold, n, folds):
            left_out[s] = _left_out(
                columns, False, s, width, wanted, recency / n, nearest, total, shared
            )
    _whiten(squares, n, shrinkage, least, axes)
    _rotate(samples, axes, columns)
