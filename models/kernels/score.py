"""Compiled scoring: walks packed models, many in one call, without Python's lock.

A packed model (a block) is an array of 8-byte words that can lie anywhere in a larger one; all
offsets in it are relative to its first word. Floats and small integers share the words:

    0  features d    1  parts    2  scaling: 0 none (cast to float32), 1 centre, inverse, limit
    3  words in the block
    4  where scaled: centre (d), inverse scale (d), limit (d), float64
    …  parts, PART_WORDS each: kind, offset, mean, inverse deviation, weight, p0 … p4
    …  the parts' data

Neighbours keep their samples behind all else, feature after feature, in half precision and in units
of ``KEPT_UNIT``. A score is the weighted mean of the parts' scores, each standardised.

What is called for every row stands in its caller, or is given addresses: arrays that are passed on
are counted, see ``memory.address``.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.block_format import (
    EXTREMES,
    FOREST,
    GAUSSIAN,
    HEADER_WORDS,
    NEIGHBORS,
    PART_WORDS,
    _standardise,
    _views,
)
from models.kernels.forest import LEAST_WEIGHT, _explain_forest, _forest
from models.kernels.memory import address, at_address, doubles_at, integers_at, singles_at, table_at
from models.kernels.nearest import padded
from models.kernels.neighbors import _explain_neighbors, _neighbors

CHUNK = 256
# Bytes of the next model that are fetched while one is at work, at most: they have to wait in the
# second of the caches.
AHEAD = 65_536


@njit(nogil=True, cache=True, inline="always")
def _deviations(row, width, cap, worst_only):
    """Mean of |z| capped, or its largest, over the features that are there."""
    total = worst = 0.0
    usable = 0
    for feature in range(width):
        z = abs(row[feature])
        if z == z:
            total += min(z, cap)
            worst = max(worst, z)
            usable += 1
    if usable == 0:
        return np.nan
    return -worst if worst_only else -total / usable


@njit(nogil=True, cache=True, inline="always")
def _extremes(f64, data, row, width):
    """How far the row goes beyond the reach of the training samples, in its worst feature."""
    worst = 0.0
    usable = 0
    for feature in range(width):
        z = abs(row[feature])
        if z == z:
            worst = max(worst, z * f64[data + feature] - 1.0)
            usable += 1
    return -worst if usable > 0 else np.nan


@njit(nogil=True, cache=True)
def _scratch(i64):
    """Width of the rows and most neighbours of a model."""
    width = i64[0]
    samples = np.int64(1)
    parts = HEADER_WORDS + (3 * width if i64[2] == 1 else 0)
    for p in range(i64[1]):
        if i64[parts + p * PART_WORDS] == NEIGHBORS:
            samples = max(samples, i64[parts + p * PART_WORDS + 5])
    return width, samples


@njit(nogil=True, cache=True)
def _space(widest, samples):
    """Words of scratch space for models with so many features and neighbours."""
    return CHUNK * (widest + 4) + 2 * padded(widest) + 4 * padded(samples) + 2


@njit(nogil=True, cache=True)
def _score_fitting(addresses, sizes, counts, values, out, group, at, done, widest, samples, space):
    """Score from one model on all that have at most so many features and neighbours.

    The first that has more, and how much was done before it. ``space`` is the address of as many
    words as ``_space`` says: arrays that are made of it are not counted. To count those of each
    part of each model had taken as long as half a row takes.
    """
    chunk, most = 8 * CHUNK, padded(samples)
    z = table_at(space, CHUNK, widest)
    space += chunk * widest
    used, scores = integers_at(space, CHUNK), doubles_at(space + chunk, CHUNK)
    total, weights = doubles_at(space + 2 * chunk, CHUNK), doubles_at(space + 3 * chunk, CHUNK)
    space += 4 * chunk
    room = padded(widest)
    seen, asked = doubles_at(space, room), singles_at(space + 8 * room, room)
    space += 16 * room
    sums, shared = singles_at(space, most), singles_at(space + 4 * most, most)
    ages, weighed = singles_at(space + 8 * most, most), singles_at(space + 12 * most, most)
    nearest, which = singles_at(space + 16 * most, most), integers_at(space + 20 * most, most)
    ahead = integers_at(space + 28 * most, 2)
    while group < addresses.size:
        views = _views(at_address(addresses[group], sizes[group]))
        i64, f64 = views[4], views[5]
        width, needed = _scratch(i64)
        if width > widest or needed > samples:
            break
        ahead[0] = ahead[1] = 0
        if group + 1 < addresses.size:
            ahead[0] = addresses[group + 1]
            ahead[1] = ahead[0] + min(8 * sizes[group + 1], AHEAD)
        scaled = i64[2] == 1
        parts = HEADER_WORDS + (3 * width if scaled else 0)
        left = counts[group]
        while left > 0:
            rows = min(left, CHUNK)
            for r in range(rows):
                used[r] = _standardise(i64, f64, values, at, width, z[r])
                at += width
                total[r] = 0.0
                weights[r] = 0.0
            for p in range(i64[1]):
                part = parts + p * PART_WORDS
                kind, data = i64[part], i64[part + 1]
                if kind == FOREST:
                    _forest(views, part, data, z, used, rows, width, scores)
                elif kind == NEIGHBORS:
                    _neighbors(
                        views, part, data, z, used, rows, width, scores, ahead,
                        seen, asked, sums, shared, ages, weighed, nearest, which,
                    )  # fmt: skip
                elif kind == EXTREMES:
                    for r in range(rows):
                        scores[r] = _extremes(f64, data, z[r], width)
                else:
                    for r in range(rows):
                        scores[r] = _deviations(z[r], width, f64[part + 5], kind == GAUSSIAN)
                mean, inverse, weight = f64[part + 2], f64[part + 3], f64[part + 4]
                for r in range(rows):
                    if scores[r] == scores[r]:
                        total[r] += weight * ((scores[r] - mean) * inverse)
                        weights[r] += weight
            for r in range(rows):
                evidence = weights[r] > 0.0 and (used[r] > 0 or not scaled)
                out[done + r] = total[r] / weights[r] if evidence else np.nan
            done += rows
            left -= rows
        group += 1
    return group, at, done


@njit(nogil=True, cache=True)
def score_models(addresses, sizes, counts, values, out):
    """Score rows by many models: ``counts[g]`` by the block at ``addresses[g]``, one score each.

    Rows stand one after another in ``values``. A row's score never depends on the other rows of the
    call. Addresses and not one array of all models, so that none is ever copied or moved.
    """
    group = at = done = np.int64(0)
    widest = samples = np.int64(1)
    while group < addresses.size:
        width, needed = _scratch(at_address(addresses[group], sizes[group]).view(np.int64))
        widest, samples = max(widest, width), max(samples, needed)
        space = np.empty(_space(widest, samples), dtype=np.uint64)
        group, at, done = _score_fitting(
            addresses, sizes, counts, values, out, group, at, done, widest, samples, address(space)
        )
        # Held until here.
        space[0] = 0


@njit(nogil=True, cache=True)
def score_block(words, values, rows, out):
    """The same by the model that a block holds, which the caller keeps."""
    alone = np.array([address(words), words.size, rows])
    score_models(alone[:1], alone[1:2], alone[2:], values, out)


@njit(nogil=True, cache=True)
def explain_block(words, values, rows, out):
    """Share of each feature in the abnormality of each row, laid out as ``values``.

    The parts of a blend count by their weight and by how abnormal they find the row.
    """
    _explain(words, values, 0, rows, out)


@njit(nogil=True, cache=True)
def explain_models(addresses, sizes, values, out):
    """The same of one row for each of many models, that of ``g`` by the block at ``addresses[g]``.

    The rows stand one after another in ``values``.
    """
    at = 0
    for g in range(addresses.size):
        at = _explain(at_address(addresses[g], sizes[g]), values, at, 1, out)


@njit(nogil=True, cache=True)
def _explain(words, values, at, rows, out):
    """The shares of rows that begin at ``at``; where they end."""
    views = _views(words)
    i64, f64 = views[4], views[5]
    width, samples = _scratch(i64)
    row, shares, seen = np.empty(width), np.empty(width), np.empty(padded(width))
    asked = np.empty(padded(width), dtype=np.float32)
    distances = np.empty(samples, dtype=np.float32)
    shared = np.empty(samples, dtype=np.float32)
    parts = HEADER_WORDS + (3 * width if i64[2] == 1 else 0)
    for _ in range(rows):
        used = _standardise(i64, f64, values, at, width, row)
        out[at : at + width] = 0.0
        for p in range(i64[1]):
            part = parts + p * PART_WORDS
            kind, data = i64[part], i64[part + 1]
            shares[:width] = 0.0
            if kind == FOREST:
                score = _explain_forest(views, part, data, row, shares)
            elif kind == NEIGHBORS:
                score = _explain_neighbors(
                    views, part, data, row, used, width, shares, seen, asked, distances, shared
                )
            elif kind == EXTREMES:
                score = _extremes(f64, data, row, width)
                for feature in range(width):
                    z = abs(row[feature])
                    if z == z:
                        shares[feature] = max(z * f64[data + feature] - 1.0, 0.0)
            else:
                cap, worst_only = f64[part + 5], kind == GAUSSIAN
                score = _deviations(row, width, cap, worst_only)
                for feature in range(width):
                    z = abs(row[feature])
                    if z == z:
                        shares[feature] = z * z if worst_only else min(z, cap)
            whole = shares[:width].sum()
            if whole > 0.0 and score == score:
                abnormal = (f64[part + 2] - score) * f64[part + 3]
                weight = f64[part + 4] * (max(abnormal, 0.0) + LEAST_WEIGHT)
                for feature in range(width):
                    out[at + feature] += weight * shares[feature] / whole
        whole = out[at : at + width].sum()
        for feature in range(width):
            if whole > 0.0:
                out[at + feature] /= whole
            elif row[feature] == row[feature]:
                out[at + feature] = 1.0 / used
        at += width
    return at
