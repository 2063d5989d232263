"""Numba kernels of calibration: the threshold of a budget and the p-value of a score, by rank.

What they compute is said in ``models/calibration``. They release the interpreter's lock.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.kernels.memory import at_address, prefetch

TINY = float(np.finfo(np.float64).tiny)
HEADER = 4
AHEAD, PARTS = 4, 8


@njit(nogil=True, cache=True, error_model="numpy")
def offset(scores, excess, origin, order, budget):
    """The score below which a share ``budget`` falls, of ``scores`` ascending."""
    n = scores.size
    position = budget * (n + 1)
    if position < 1.0:
        first = origin - scores[0] + excess
        return scores[0] - first * math.expm1(-math.log(position) / order)
    rank = int(position)
    if rank >= n:
        return scores[n - 1]
    below = scores[rank - 1]
    return below + (position - rank) * (scores[rank] - below)


@njit(nogil=True, cache=True, error_model="numpy")
def p_value(scores, excess, origin, order, score):
    """Share of normal scores at least as low as one; NaN of NaN."""
    if score != score:
        return np.nan
    n = scores.size
    rank = np.searchsorted(scores, score, side="right")
    if rank == 0:
        first = origin - scores[0] + excess
        share = math.exp(-order * math.log1p((scores[0] - score) / first))
    elif rank == n:
        share = n + 1.0 if score > scores[n - 1] else float(n)
    else:
        below = scores[rank - 1]
        share = rank + (score - below) / (scores[rank] - below)
    return min(max(share / (n + 1.0), TINY), 1.0)


@njit(nogil=True, cache=True, error_model="numpy")
def p_values(scores, excess, origin, order, asked, out):
    """The same for an array."""
    for at in range(asked.size):
        out[at] = p_value(scores, excess, origin, order, asked[at])


@njit(nogil=True, cache=True, error_model="numpy")
def judge_models(addresses, sizes, counts, budgets, asked, offsets, shares):
    """Thresholds and p-values of ``counts[g]`` scores by the table at ``addresses[g]``.

    A table is k, S, the origin and one number unused, then the calibration scores; what has an
    empty one is left out. ``budgets`` has one for each score.
    """
    done = 0
    for g in range(addresses.size):
        if g + AHEAD < addresses.size and sizes[g + AHEAD] > 0:
            # What a search among the scores looks at first, and what stands before them.
            for part in range(PARTS):
                prefetch(addresses[g + AHEAD] + 8 * (sizes[g + AHEAD] * part // PARTS))
        if sizes[g] == 0:
            done += counts[g]
            continue
        table = at_address(addresses[g], sizes[g]).view(np.float64)
        order, excess, origin = table[0], table[1], table[2]
        scores = table[HEADER:]
        known = np.nan
        threshold = np.nan
        for at in range(done, done + counts[g]):
            if budgets[at] != known:
                known = budgets[at]
                threshold = offset(scores, excess, origin, order, known)
            offsets[at] = threshold
            shares[at] = p_value(scores, excess, origin, order, asked[at])
        done += counts[g]


@njit(nogil=True, cache=True, error_model="numpy")
def follow_groups(
    counts, means, decisions, p_values, gentle, bold, records, quiet, since, each, plain, rule
):
    """Follow ``counts[g]`` records of each profile: twin of ``models.calibration.drift.follow``.

    ``plain[g]`` says whether no drift is to be reported behind any of them. ``gentle``, ``bold``,
    ``records`` and ``since`` become those after the last, ``each`` is ``since`` behind each record.
    A decision of NaN is no evidence: that record is left out. ``rule`` is
    ``models.calibration.drift_batch.RULE``.
    """
    bound, scale, gentle_stake, bold_stake, most, guard = rule
    begin = 0
    for g in range(counts.size):
        end = begin + counts[g]
        a, b, n, last = gentle[g], bold[g], records[g], since[g]
        fine = True
        for at in range(begin, end):
            if decisions[at] < 0.0:
                last = 0
            elif decisions[at] >= 0.0:
                if last >= 0:
                    last += 1
                edge = scale * (means[g] - p_values[at]) / (1.0 - means[g])
                if (last < 0 or last > guard) and edge == edge:
                    a = min((a if a > 1.0 else 1.0) * (1.0 + gentle_stake * edge), most)
                    b = min((b if b > 1.0 else 1.0) * (1.0 + bold_stake * edge), most)
                    n += 1
            each[at] = last
            fine = fine and not ((a + b) * 0.5 >= bound and n >= quiet[g])
        plain[g] = fine
        gentle[g], bold[g], records[g], since[g] = a, b, n, last
        begin = end
