"""Compiled isolation forests: packed trees walked for many rows, and out-of-bag scores."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

WALK_DEPTH = 128


# What a part that finds a row normal still has to say about why it is abnormal.
LEAST_WEIGHT = 0.01


# Of a split's credit in an explanation, what remains for the next one down the path.
DEEPER = 0.9


LEAF, WIDE_LEAF = -(2**15), -(2**31)


ZERO, ONE, TWO, THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)


# Average depth of an unsuccessful search among n samples (Liu, Ting, Zhou, 2008, equation 1).
_n = np.arange(3, 1024, dtype=np.float64)


AVERAGE_PATH = np.concatenate(
    [[0.0, 0.0, 1.0], 2.0 * (np.log(_n - 1.0) + np.euler_gamma) - 2.0 * (_n - 1.0) / _n]
)


EULER_GAMMA = float(np.euler_gamma)


@njit(nogil=True, cache=True)
def average_path(n):
    if n < 1024:
        return AVERAGE_PATH[n]
    return 2.0 * (np.log(n - 1.0) + EULER_GAMMA) - 2.0 * (n - 1.0) / n


@njit(nogil=True, cache=True, inline="always")
def _step(f32, i16, u16, root, node, row):
    """The next node of a complete row's way down a narrow tree; a leaf is its own next.

    Nodes are unsigned: a signed index costs a test for counting from the end at every access.
    """
    code = np.int64(i16[(node << TWO) | TWO])
    leaf = code == LEAF
    value = row[ZERO if leaf else np.uint64(code ^ (code >> 15))]
    beyond = ZERO if value <= f32[node << ONE] else ONE
    child = np.uint64(u16[(node << TWO) | THREE])
    return node if leaf else root + child + beyond


@njit(nogil=True, cache=True, inline="always")
def _depth(u16, i32, node):
    samples = np.int64(i32[node << ONE])
    return np.float64(u16[(node << TWO) | THREE]) + average_path(samples)


@njit(nogil=True, cache=True, inline="always")
def _walk_four(f32, i16, u16, i32, a, row_a, b, row_b, c, row_c, d, row_d):
    """Depths at which four complete rows end in the narrow trees whose roots are a … d.

    Four walks at once, since each step of one waits for memory.
    """
    na, nb, nc, nd = a, b, c, d
    moved = True
    while moved:
        to_a = _step(f32, i16, u16, a, na, row_a)
        to_b = _step(f32, i16, u16, b, nb, row_b)
        to_c = _step(f32, i16, u16, c, nc, row_c)
        to_d = _step(f32, i16, u16, d, nd, row_d)
        moved = ((na ^ to_a) | (nb ^ to_b) | (nc ^ to_c) | (nd ^ to_d)) != ZERO
        na, nb, nc, nd = to_a, to_b, to_c, to_d
    return _depth(u16, i32, na), _depth(u16, i32, nb), _depth(u16, i32, nc), _depth(u16, i32, nd)


@njit(nogil=True, cache=True)
def _walk_rows(f32, i16, u16, i32, root, z, rows, count, sums):
    """Add to ``sums`` the depths in one tree of the complete rows ``rows[:count]``."""
    for k in range(0, count, 4):
        a, b = rows[k], rows[min(k + 1, count - 1)]
        c, d = rows[min(k + 2, count - 1)], rows[min(k + 3, count - 1)]
        da, db, dc, dd = _walk_four(
            f32, i16, u16, i32, root, z[a], root, z[b], root, z[c], root, z[d]
        )
        sums[a] += da
        sums[b] += db if k + 1 < count else 0.0
        sums[c] += dc if k + 2 < count else 0.0
        sums[d] += dd if k + 3 < count else 0.0


@njit(nogil=True, cache=True)
def _walk_trees(f32, i16, u16, i32, i64, firsts, roots, trees, row):
    """Sum of one complete row's depths over the trees, in their order."""
    total = 0.0
    last = trees - 1
    for tree in range(0, trees, 4):
        a = np.uint64(roots + i64[firsts + tree])
        b = np.uint64(roots + i64[firsts + min(tree + 1, last)])
        c = np.uint64(roots + i64[firsts + min(tree + 2, last)])
        d = np.uint64(roots + i64[firsts + min(tree + 3, last)])
        da, db, dc, dd = _walk_four(f32, i16, u16, i32, a, row, b, row, c, row, d, row)
        total += da
        total += db if tree + 1 < trees else 0.0
        total += dc if tree + 2 < trees else 0.0
        total += dd if tree + 3 < trees else 0.0
    return total


@njit(nogil=True, cache=True)
def _code(i16, i32, word, wide):
    if wide:
        return np.int64(i32[2 * word + 1])
    code = np.int64(i16[4 * word + 2])
    return np.int64(WIDE_LEAF) if code == LEAF else code


@njit(nogil=True, cache=True)
def _child(u16, i64, word, wide):
    return i64[word + 1] if wide else np.int64(u16[4 * word + 3])


@njit(nogil=True, cache=True)
def _count_samples(i16, u16, i32, i64, root, nodes, wide, counts):
    """Training samples below each node; children always come after their parent."""
    stride = 2 if wide else 1
    for node in range(nodes - 1, -1, -1):
        word = root + node * stride
        if _code(i16, i32, word, wide) == WIDE_LEAF:
            counts[node] = i32[2 * word]
        else:
            child = _child(u16, i64, word, wide)
            counts[node] = counts[child] + counts[child + 1]


@njit(nogil=True, cache=True)
def _walk_any(f32, i16, u16, i32, i64, root, row, wide, weighted, counts, stack, shares):
    """Depth of a row in any tree; where the feature is absent, by the forest's rule.

    ``weighted``: the mean over both children by their share of the training samples; else the
    direction that the node names.
    """
    stride = 2 if wide else 1
    stack[0] = 0
    shares[0] = 1.0
    top = 1
    depth = 0.0
    while top > 0:
        top -= 1
        node = stack[top]
        share = shares[top]
        word = root + node * stride
        code = _code(i16, i32, word, wide)
        while code != WIDE_LEAF:
            child = _child(u16, i64, word, wide)
            value = row[code ^ (code >> 63)]
            if value <= f32[2 * word]:
                node = child
            elif value == value:
                node = child + 1
            elif weighted:
                below = counts[child] + counts[child + 1]
                stack[top] = child + 1
                shares[top] = share * counts[child + 1] / below
                top += 1
                share = share * counts[child] / below
                node = child
            else:
                node = child if code < 0 else child + 1
            word = root + node * stride
            code = _code(i16, i32, word, wide)
        depth += share * (
            np.float64(_child(u16, i64, word, wide)) + average_path(np.int64(i32[2 * word]))
        )
    return depth


@njit(nogil=True, cache=True)
def _forest(views, part, data, z, used, rows, width, sums):
    """Scores of a chunk of rows, tree by tree, so that a tree is read once for all of them."""
    f32, i16, u16, i32, i64, f64 = views
    trees, flags = i64[part + 5], i64[part + 6]
    wide, weighted = (flags & 1) == 1, (flags & 2) == 2
    stride = 2 if wide else 1
    roots = data + trees + 1
    complete = np.empty(rows, dtype=np.int64)
    partial = np.empty(rows, dtype=np.int64)
    n_complete = n_partial = 0
    for r in range(rows):
        sums[r] = 0.0
        if used[r] == width and not wide:
            complete[n_complete] = r
            n_complete += 1
        else:
            partial[n_partial] = r
            n_partial += 1
    counts = np.empty(flags >> 2 if n_partial > 0 else 0, dtype=np.int64)
    stack = np.empty(WALK_DEPTH if n_partial > 0 else 0, dtype=np.int64)
    shares = np.empty(stack.size)
    if n_complete < 4:
        for c in range(n_complete):
            row = z[complete[c]]
            sums[complete[c]] = _walk_trees(f32, i16, u16, i32, i64, data, roots, trees, row)
    else:
        for tree in range(trees):
            root = np.uint64(roots + i64[data + tree])
            _walk_rows(f32, i16, u16, i32, root, z, complete, n_complete, sums)
    if n_partial > 0:
        for tree in range(trees):
            root = roots + i64[data + tree] * stride
            if weighted:
                nodes = i64[data + tree + 1] - i64[data + tree]
                _count_samples(i16, u16, i32, i64, root, nodes, wide, counts)
            for c in range(n_partial):
                r = partial[c]
                sums[r] += _walk_any(
                    f32, i16, u16, i32, i64, root, z[r], wide, weighted, counts, stack, shares
                )
    full_depth = f64[part + 7]
    for r in range(rows):
        sums[r] = -(2.0 ** -(sums[r] / full_depth if full_depth > 0.0 else 1.0))


@njit(nogil=True, cache=True)
def _explain_forest(views, part, data, row, shares):
    """Path importance in the manner of local DIFFI (Carletti, Terzi, Susto, 2023).

    A split counts for its feature when it parts the row from the median of the training samples
    (0 in scaled units), by how far beyond the threshold the row lies, and the more the nearer it
    is to the root. Depths alone could not tell a wild value from the outermost training sample,
    whose leaf it shares.
    """
    f32, i16, u16, i32, i64, f64 = views
    trees, wide = i64[part + 5], (i64[part + 6] & 1) == 1
    stride = 2 if wide else 1
    full_depth = f64[part + 7] / trees
    sum_of_depths = 0.0
    for tree in range(trees):
        root = data + trees + 1 + i64[data + tree] * stride
        word, credit = root, 1.0
        code = _code(i16, i32, word, wide)
        while code != WIDE_LEAF:
            feature = code ^ (code >> 63)
            value, threshold = row[feature], np.float64(f32[2 * word])
            right = value > threshold or (value != value and code >= 0)
            parted = value == value and right == (threshold >= 0.0)
            shares[feature] += credit * abs(value - threshold) if parted else 0.0
            credit *= DEEPER
            word = root + (_child(u16, i64, word, wide) + right) * stride
            code = _code(i16, i32, word, wide)
        sum_of_depths += _child(u16, i64, word, wide) + average_path(np.int64(i32[2 * word]))
    return -(2.0 ** -(sum_of_depths / trees / full_depth if full_depth > 0.0 else 1.0))
