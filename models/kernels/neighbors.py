"""Compiled neighbours: distances of rows to the samples that a block keeps."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.memory import address, load_binary16
from models.kernels.nearest import (
    FIVE,
    KEPT_UNIT,
    as_kept,
    distances,
    mean_of_five,
    padded,
    project,
    shared_distances,
    weigh_ages,
)
from models.kernels.simd import LANES


@njit(nogil=True, cache=True)
def warp(value, how):
    """Clip to ±how where it is positive; compress by a logarithm beyond −how where negative."""
    if how > 0.0:
        return min(max(value, -how), how)
    if how < 0.0 and abs(value) > -how:
        compressed = np.log(1.0 + abs(value) + how) - how
        return compressed if value > 0.0 else -compressed
    return value


@njit(nogil=True, cache=True)
def warp_all(z, how):
    """Training samples (n, d) as the neighbours see them: NaN stays NaN."""
    warped = np.empty_like(z)
    for sample in range(z.shape[0]):
        for feature in range(z.shape[1]):
            value = z[sample, feature]
            warped[sample, feature] = warp(value, how) if value == value else value
    return warped


@njit(nogil=True, cache=True, inline="always")
def _see(views, part, data, row, used, width, seen):
    """A row as a neighbours part sees it, into ``seen``.

    Gives at which byte the samples begin, how many features they have, how many of them the row
    has. Whitened parts see all the features that they know of, or nothing. ``seen`` has ``padded``
    room.
    """
    f32, _, _, _, i64, f64 = views
    how = f64[part + 7]
    known = i64[part + 9]
    if known == 0:
        for feature in range(width):
            value = row[feature]
            seen[feature] = warp(value, how) if value == value else value
        return 8 * data, width, used
    for k in range(known):
        value = row[i64[data + k]]
        if value != value:
            return 0, 0, 0
        seen[k] = warp(value * f64[data + known + k], how)
    matrix = 2 * (data + 2 * known)
    # The samples behind the matrix are as much as may be read there.
    if i64[part + 5] >= 2 * LANES:
        project(address(f32) + 4 * matrix, known, address(seen))
    else:
        for axis in range(known - 1, -1, -1):
            total = 0.0
            for k in range(axis + 1):
                total += seen[k] * f32[matrix + k * known + axis]
            seen[axis] = total
    return 4 * matrix + 8 * ((known * known + 1) // 2), known, known


@njit(nogil=True, cache=True)
def _distances(samples_at, samples, ages, asked, used, width, total, shared):
    """Mean over the shared features of |row − sample| for each training sample, by age.

    Infinite where less than half of the row's features are shared.
    """
    if samples >= LANES:
        shared_distances(
            samples_at, samples, address(asked), width, address(total), address(shared)
        )
    else:
        total[:samples] = np.float32(0.0)
        shared[:samples] = np.float32(0.0)
        for feature in range(width):
            for s in range(samples):
                gap = abs(asked[feature] - load_binary16(samples_at + 2 * (feature * samples + s)))
                if gap == gap:
                    total[s] += gap
                    shared[s] += np.float32(1.0)
    for s in range(samples):
        enough = shared[s] > 0 and 2.0 * shared[s] >= used
        weight = ages[s] * np.float32(KEPT_UNIT)
        total[s] = total[s] * weight / shared[s] if enough else np.float32(np.inf)


@njit(nogil=True, cache=True)
def _nearest(total, samples, wanted, nearest, which):
    """The ``wanted`` smallest totals, ascending, of equal ones the newest; how many are finite."""
    found = 0
    bound = np.float32(np.inf)
    for s in range(samples - 1, -1, -1):
        distance = total[s]
        if not distance < bound:
            continue
        at = found if found < wanted else wanted - 1
        while at > 0 and nearest[at - 1] > distance:
            nearest[at] = nearest[at - 1]
            which[at] = which[at - 1]
            at -= 1
        nearest[at] = distance
        which[at] = s
        found = min(found + 1, wanted)
        if found == wanted:
            bound = nearest[wanted - 1]
    return found


@njit(nogil=True, cache=True)
def _mean_nearest(nearest, found):
    mean = 0.0
    for at in range(found):
        mean += np.float64(nearest[at])
    return mean / found if found > 0 else np.nan


@njit(nogil=True, cache=True, inline="always")
def _neighbors(
    views, part, data, z, used, rows, width, scores, ahead,
    seen, asked, total, shared, ages, weights, nearest, which,
):  # fmt: skip
    f32, _, _, _, i64, f64 = views
    samples, wanted, gaps = i64[part + 5], i64[part + 6] >> 1, (i64[part + 6] & 1) == 1
    weigh_ages(samples, f64[part + 8], ages)
    known = i64[part + 9] if i64[part + 9] != 0 else width
    inverse = np.float32(KEPT_UNIT) / np.float32(known)
    for s in range(samples):
        weights[s] = ages[s] * inverse
    total[samples : padded(samples)] = np.float32(np.inf)
    block_at, seen_at, asked_at = address(f32), address(seen), address(asked)
    weights_at, total_at = address(weights), address(total)
    for r in range(rows):
        first, features, there = _see(views, part, data, z[r], used[r], width, seen)
        if there <= 0:
            scores[r] = np.nan
            continue
        as_kept(seen_at, features, asked_at)
        if there == known and not gaps and samples >= LANES:
            ahead[0] = distances(
                block_at + first, samples, asked_at, features, weights_at, total_at,
                ahead[0], ahead[1],
            )  # fmt: skip
        else:
            _distances(block_at + first, samples, ages, asked, there, features, total, shared)
        if wanted == FIVE:
            scores[r] = -mean_of_five(total_at, samples)
        else:
            found = _nearest(total, samples, wanted, nearest, which)
            scores[r] = -_mean_nearest(nearest, found)


@njit(nogil=True, cache=True)
def _explain_neighbors(views, part, data, row, used, width, shares, seen, asked, total, shared):
    """The terms of the mean distance; of a whitened one what each feature adds to it."""
    f32, _, _, _, i64, f64 = views
    samples, wanted = i64[part + 5], i64[part + 6] >> 1
    nearest = np.empty(wanted, dtype=np.float32)
    which = np.empty(wanted, dtype=np.int64)
    first, features, there = _see(views, part, data, row, used, width, seen)
    if there <= 0:
        return np.nan
    ages = np.empty(samples, dtype=np.float32)
    weigh_ages(samples, f64[part + 8], ages)
    as_kept(address(seen), features, address(asked))
    samples_at = address(f32) + first
    _distances(samples_at, samples, ages, asked, there, features, total, shared)
    found = _nearest(total, samples, wanted, nearest, which)
    known = i64[part + 9]
    for axis in range(features):
        side = 0.0
        for at in range(found):
            gap = asked[axis] - load_binary16(samples_at + 2 * (axis * samples + which[at]))
            if known == 0:
                shares[axis] += abs(gap) if gap == gap else 0.0
            else:
                side += 1.0 if gap > 0.0 else -1.0
        seen[axis] = side
    matrix = 2 * (data + 2 * known)
    for k in range(known):
        feature = i64[data + k]
        slope = 0.0
        for axis in range(k, known):
            slope += seen[axis] * f32[matrix + k * known + axis]
        value = warp(row[feature] * f64[data + known + k], f64[part + 7])
        shares[feature] = max(value * slope, 0.0)
    return -_mean_nearest(nearest, found)
