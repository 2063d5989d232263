"""Compiled out-of-bag scores: each sample by the trees that were grown without it."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.block_format import HEADER_WORDS, _views
from models.kernels.forest import WALK_DEPTH, _count_samples, _walk_any, _walk_rows


@njit(nogil=True, cache=True)
def out_of_bag(words, X, bagged, out):
    """Scores of a forest's training samples, each by the trees that did not see it.

    ``X``: (n, d) as it was trained on; ``bagged``: (trees, n), true where a tree saw the sample.
    A sample that every tree saw has none: NaN.
    """
    f32, i16, u16, i32, i64, f64 = _views(words)
    width = i64[0]
    part = HEADER_WORDS + (3 * width if i64[2] == 1 else 0)
    data, trees, flags = i64[part + 1], i64[part + 5], i64[part + 6]
    wide, weighted = (flags & 1) == 1, (flags & 2) == 2
    samples = X.shape[0]
    counts = np.empty(flags >> 2, dtype=np.int64)
    stack = np.empty(WALK_DEPTH, dtype=np.int64)
    shares = np.empty(WALK_DEPTH)
    complete = np.empty(samples, dtype=np.bool_)
    seen = np.zeros(samples, dtype=np.int64)
    waiting = np.empty(samples, dtype=np.int64)
    out[:] = 0.0
    whole = not wide
    for s in range(samples):
        complete[s] = not wide and not np.isnan(X[s]).any()
        whole = whole and complete[s]
    for tree in range(trees):
        root = data + trees + 1 + i64[data + tree] * (2 if wide else 1)
        if weighted and not whole:
            nodes = i64[data + tree + 1] - i64[data + tree]
            _count_samples(i16, u16, i32, i64, root, nodes, wide, counts)
        held = 0
        for s in range(samples):
            if bagged[tree, s]:
                continue
            seen[s] += 1
            if complete[s]:
                waiting[held] = s
                held += 1
            else:
                out[s] += _walk_any(
                    f32, i16, u16, i32, i64, root, X[s], wide, weighted, counts, stack, shares
                )
        if held > 0:
            _walk_rows(f32, i16, u16, i32, np.uint64(root), X, waiting, held, out)
    full_depth = f64[part + 7] / trees
    for s in range(samples):
        if seen[s] == 0:
            out[s] = np.nan
        else:
            out[s] = -(2.0 ** -(out[s] / (seen[s] * full_depth) if full_depth > 0.0 else 1.0))
