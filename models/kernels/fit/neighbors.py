"""Compiled fitting: robust scales, whitening, and leave-one-out scores.

A kernel that is called from another file goes on in its old form in that file's cache once it is
changed: none are, but for those of ``nearest.py``.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.memory import address
from models.kernels.nearest import (
    FIVE,
    mean_of_five,
    means_among,
    means_of_some,
    padded,
    rotate,
    weigh_ages,
)
from models.kernels.simd import LANES

NO_VARIANCE = 1e-60
"""Mean variance, in squares of the features' mean deviation, up to which axes are not turned: their
inverse would leave single precision."""


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
def _whiten(covariance, samples, shrinkage, least, axes):
    """Inverse Cholesky factor of the shrunk covariance: axes @ x has uncorrelated unit parts."""
    width = covariance.shape[0]
    mean = 0.0
    for i in range(width):
        mean += covariance[i, i] / samples / width
    axes[:] = 0.0
    if mean <= NO_VARIANCE:
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
