"""Compiled p-values of statistics: by the calibration, among the recent ones, and together."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.kernels.forecast.layout import (
    BIN_WIDTH,
    BINS,
    COUNT,
    DECAYS,
    ERROR,
    GROWTH,
    KNOTS,
    KNOTS_AT,
    LARGEST,
    PRIORS,
    RARITY,
    RECENT_VOTES,
    SHARES,
    STATIC_VOTES,
    SURPRISE,
    SURPRISE_AT,
    TAILS_AT,
    TICK,
    TICKS,
    TOTAL_AT,
    UNITS,
    VALUES,
)
from models.kernels.memory import load_single, singles_at, words16_at, words32_at


@njit(nogil=True, cache=True, error_model="numpy")
def nats(value, tail, knots_at):
    """−ln p of a statistic by its calibration: linear between the knots, a fat tail beyond.

    Args:
        value: of the statistic.
        tail: number of calibration values, tail order, its scale, and the largest knot.
        knots_at: address of the values at equal steps of −ln p from 0 to ln(n + 1).
    """
    n, order, scale, top = tail
    if n < 10.0:
        return 0.0
    most = math.log(n + 1.0)
    if value > top:
        return min(most + order * math.log1p((value - top) / (order * scale)), LARGEST)
    if value <= load_single(knots_at):
        return 0.0
    low, high = 0, KNOTS - 1
    while low < high:
        middle = (low + high) // 2
        if load_single(knots_at + 4 * middle) >= value:
            high = middle
        else:
            low = middle + 1
    below, above = load_single(knots_at + 4 * low - 4), load_single(knots_at + 4 * low)
    part = (value - below) / (above - below) if above > below else 1.0
    return most / (KNOTS - 1) * (low - 1 + part)


@njit(nogil=True, cache=True, error_model="numpy")
def _tangent(p):
    """Quantile of 1 − p of a Cauchy variable, not below 0."""
    if p >= 0.5:
        return 0.0
    return 1.0 / (math.pi * p) if p < 1e-8 else math.tan((0.5 - p) * math.pi)


@njit(nogil=True, cache=True, error_model="numpy")
def _combined(total):
    """−ln p of a mean of Cauchy variables."""
    p = 1.0 / (math.pi * total) if total > 1e8 else 0.5 - math.atan(total) / math.pi
    return min(-math.log(max(p, 1e-300)), LARGEST)


@njit(nogil=True, cache=True, error_model="numpy")
def _among_recent(q, rarity, p, tick, bins, totals, learn):
    """p-value of a static p among the recent ones; then counts it as one of them."""
    place = rarity / BIN_WIDTH
    own = min(int(place), BINS - 1)
    rest = 0.0
    # An error that stands alone is rarer than all that were counted, whatever their static p.
    if learn or q != ERROR:
        rest = float(totals[q])
        for b in range(own):
            rest -= bins[q * BINS + b]
        if own < BINS - 1:
            rest -= bins[q * BINS + own] * (place - own)
    one = int(UNITS[q] * GROWTH[q, tick] + 0.5)
    found = (PRIORS[q] * p + rest / one) / (PRIORS[q] + totals[q] / one)
    if learn:
        bins[q * BINS + own] += np.uint16(one)
        totals[q] += np.uint32(one)
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def _forget(bins, totals):
    """Let the counts decay; what rounding leaves of a bin goes to the next, or rare ones vanish."""
    for q in range(COUNT):
        total, rest = 0, 0.5
        for b in range(q * BINS, (q + 1) * BINS):
            rest += bins[b] * DECAYS[q]
            kept = int(rest)
            rest -= kept
            bins[b] = np.uint16(kept)
            total += kept
        totals[q] = np.uint32(total)


@njit(nogil=True, cache=True, error_model="numpy")
def judge_rarity(model_at, state, state_at, learn, out):
    """p-values of a point's statistics, and of all together."""
    bins = words16_at(state_at + SURPRISE_AT, COUNT * BINS)
    totals = words32_at(state_at + TOTAL_AT, COUNT)
    tails = singles_at(model_at + TAILS_AT, 4 * COUNT)
    tick = int(state[TICK])
    static = static_votes = recent = recent_votes = 0.0
    for q in range(COUNT):
        value = out[VALUES + q]
        if value != value:
            out[SHARES + q] = 0.0
            continue
        tail = (tails[4 * q], tails[4 * q + 1], tails[4 * q + 2], tails[4 * q + 3])
        rarity = nats(value, tail, model_at + KNOTS_AT + 4 * KNOTS * q)
        p = math.exp(-rarity)
        static += STATIC_VOTES[q] * _tangent(p)
        out[SHARES + q] = RECENT_VOTES[q] * _tangent(
            _among_recent(q, rarity, p, tick, bins, totals, learn)
        )
        recent += out[SHARES + q]
        static_votes += STATIC_VOTES[q]
        recent_votes += RECENT_VOTES[q]
    out[RARITY] = _combined(static / static_votes)
    out[SURPRISE] = _combined(recent / recent_votes)
    if learn:
        state[TICK] = tick + 1
        if tick + 1 == TICKS:
            state[TICK] = 0.0
            _forget(bins, totals)
