"""Compiled growth of isolation trees into flat, narrow or wide nodes.

Nodes of a tree lie breadth first, so that siblings are neighbours and children follow parents.
    narrow, 8 bytes:  threshold float32 | feature int16 | left child uint16
    wide, 16 bytes:   threshold float32 | feature int32 | left child int64
A leaf has the smallest integer as feature, its training samples in place of the threshold
(int32), its depth in place of the child. Where a value is absent a node sends it left when the
feature is written as its complement (only in trees from elsewhere).
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

LEAF, WIDE_LEAF = -(2**15), -(2**31)
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1, MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
S30, S27, S31, S11, S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11), np.uint64(32)
UNIT = 2.0**-53


@njit(nogil=True, cache=True)
def _bits(state):
    """64 random bits by SplitMix64 (Steele, Lea, Flood, 2014)."""
    state[0] += GOLDEN
    z = state[0]
    z = (z ^ (z >> S30)) * MIX_1
    z = (z ^ (z >> S27)) * MIX_2
    return z ^ (z >> S31)


@njit(nogil=True, cache=True)
def _below(state, bound):
    return np.int64(((_bits(state) >> S32) * np.uint64(bound)) >> S32)


@njit(nogil=True, cache=True)
def _uniform(state):
    return np.float64(_bits(state) >> S11) * UNIT


@njit(nogil=True, cache=True)
def _draw(state, pool, wanted, bootstrap, drawn):
    """Fill ``drawn`` with numbers below pool.size, without replacement unless ``bootstrap``."""
    for k in range(wanted):
        if bootstrap:
            drawn[k] = _below(state, pool.size)
        else:
            other = k + _below(state, pool.size - k)
            pool[k], pool[other] = pool[other], pool[k]
            drawn[k] = pool[k]


@njit(nogil=True, cache=True)
def _split(state, column, index, start, end, low, high, gaps):
    """Cut index[start:end] at a random threshold; absent values follow by the share of the rest.

    Gives the threshold and where the right side begins; both sides are never empty.
    """
    threshold = np.float32(low + _uniform(state) * (np.float64(high) - np.float64(low)))
    if not (low <= threshold < high):
        threshold = low
    left = start
    absent = end
    k = start
    if gaps:
        while k < absent:
            if column[index[k]] == column[index[k]]:
                k += 1
            else:
                absent -= 1
                index[k], index[absent] = index[absent], index[k]
    for k in range(start, absent):
        here = index[k]
        index[k] = index[left]
        index[left] = here
        left += 1 if column[here] <= threshold else 0
    if absent < end:
        share = (left - start) / (absent - start)
        for k in range(absent, end):
            if _uniform(state) < share:
                here = index[k]
                index[k] = index[left]
                index[left] = here
                left += 1
    return threshold, left


@njit(nogil=True, cache=True)
def grow(columns, trees, drawn, features, depth, bootstrap, gaps, wide, seed, words, bagged):
    """Grow isolation trees (Liu, Ting, Zhou, 2008) into ``words``.

    Args:
        columns: (d, n) float32, NaN where absent; ``gaps`` says whether there is any.
        drawn, features: samples and features that each tree sees; ``depth``: its greatest depth.
        words: room for the nodes of all trees, uint64.
        bagged: (trees, n) bool, filled: which samples a tree saw.

    Returns:
        First node of each tree and, last, their number: (trees + 1,).
    """
    width, samples = columns.shape
    f32, i16, u16 = words.view(np.float32), words.view(np.int16), words.view(np.uint16)
    i32, i64 = words.view(np.int32), words.view(np.int64)
    firsts = np.zeros(trees + 1, dtype=np.int64)
    pool = np.arange(samples)
    order = np.arange(width)
    chosen = np.empty(features, dtype=np.int64)
    index = np.empty(drawn, dtype=np.int64)
    begins = np.empty(2 * drawn, dtype=np.int64)
    ends = np.empty(2 * drawn, dtype=np.int64)
    depths = np.empty(2 * drawn, dtype=np.int64)
    state = np.empty(1, dtype=np.uint64)
    state[0] = seed
    stride = 2 if wide else 1
    for tree in range(trees):
        _draw(state, pool, drawn, bootstrap, index)
        bagged[tree, :] = False
        for k in range(drawn):
            bagged[tree, index[k]] = True
        _draw(state, order, features, False, chosen)
        root = firsts[tree] * stride
        begins[0], ends[0], depths[0] = 0, drawn, 0
        nodes = 1
        node = 0
        while node < nodes:
            start, end = begins[node], ends[node]
            feature = -1
            low = high = np.float32(0.0)
            if end - start > 1 and depths[node] < depth:
                left_to_try = features
                while left_to_try > 0 and feature < 0:
                    pick = _below(state, left_to_try)
                    candidate = chosen[pick]
                    left_to_try -= 1
                    chosen[pick], chosen[left_to_try] = chosen[left_to_try], candidate
                    low, high = np.float32(np.inf), np.float32(-np.inf)
                    column = columns[candidate]
                    for k in range(start, end):
                        value = column[index[k]]
                        low = value if value < low else low
                        high = value if value > high else high
                    if low < high:
                        feature = candidate
            word = root + node * stride
            if feature < 0:
                i32[2 * word] = end - start
                child = depths[node]
            else:
                threshold, middle = _split(
                    state, columns[feature], index, start, end, low, high, gaps
                )
                f32[2 * word] = threshold
                child = nodes
                begins[nodes], ends[nodes] = start, middle
                begins[nodes + 1], ends[nodes + 1] = middle, end
                depths[nodes] = depths[nodes + 1] = depths[node] + 1
                nodes += 2
            if wide:
                i32[2 * word + 1] = feature if feature >= 0 else WIDE_LEAF
                i64[word + 1] = child
            else:
                i16[4 * word + 2] = feature if feature >= 0 else LEAF
                u16[4 * word + 3] = child
            node += 1
        firsts[tree + 1] = firsts[tree] + nodes
    return firsts
