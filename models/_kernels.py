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

numba's cache knows only a kernel's own file, so kernels of different files never call one another,
but for ``_memory.py`` and ``_nearest.py``. What is called for every row stands in its caller, or is
given addresses: arrays that are given away are counted, see ``address``.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models._lanes import LANES
from models._memory import (
    address,
    at_address,
    doubles_at,
    integers_at,
    load_binary16,
    singles_at,
    table_at,
)
from models._nearest import (
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

FOREST, GAUSSIAN, DEVIATION, EXTREMES, NEIGHBORS = 0, 1, 2, 4, 5
# What NEIGHBORS was when samples were kept in single precision; see ``_pack.renewed``.
SINGLE_NEIGHBORS = 3
HEADER_WORDS = 4
PART_WORDS = 10
CHUNK = 256
# Bytes of the next model that are fetched while one is at work, at most: they have to wait in the
# second of the caches.
AHEAD = 65_536
WALK_DEPTH = 128
HUGE = 1e150
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
def _scaled(value, centre, inverse, limit):
    """A value in scaled units, bounded; NaN stays NaN."""
    value = min(max(value, -HUGE), HUGE) if value == value else value
    value = (value - centre) * inverse
    if value > limit:
        value = limit
    elif value < -limit:
        value = -limit
    return value


@njit(nogil=True, cache=True)
def scale_all(values, centre, inverse, limit, scaled):
    """Samples, one after another, in scaled units (n, d)."""
    at = 0
    for sample in range(scaled.shape[0]):
        for feature in range(scaled.shape[1]):
            scaled[sample, feature] = _scaled(
                values[at], centre[feature], inverse[feature], limit[feature]
            )
            at += 1


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


@njit(nogil=True, cache=True, inline="always")
def _standardise(i64, f64, values, at, width, row):
    """A row as the model sees it; how many of its features can be used."""
    scaled = i64[2] == 1
    centre = HEADER_WORDS
    used = 0
    for feature in range(width):
        value = values[at + feature]
        if scaled:
            inverse, limit = f64[centre + width + feature], f64[centre + 2 * width + feature]
            value = _scaled(value, f64[centre + feature], inverse, limit)
        else:
            value = np.float64(np.float32(value))
        row[feature] = value
        if value == value:
            used += 1
    return used


@njit(nogil=True, cache=True)
def _views(words):
    return (
        words.view(np.float32),
        words.view(np.int16),
        words.view(np.uint16),
        words.view(np.int32),
        words.view(np.int64),
        words.view(np.float64),
    )


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


@njit(nogil=True, cache=True)
def explain_block(words, values, rows, out):
    """Share of each feature in the abnormality of each row, laid out as ``values``.

    The parts of a blend count by their weight and by how abnormal they find the row.
    """
    views = _views(words)
    i64, f64 = views[4], views[5]
    width, samples = _scratch(i64)
    row, shares, seen = np.empty(width), np.empty(width), np.empty(padded(width))
    asked = np.empty(padded(width), dtype=np.float32)
    distances = np.empty(samples, dtype=np.float32)
    shared = np.empty(samples, dtype=np.float32)
    parts = HEADER_WORDS + (3 * width if i64[2] == 1 else 0)
    at = 0
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
