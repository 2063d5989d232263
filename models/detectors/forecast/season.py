"""The season of a metric: its period, and the usual value at each phase of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_BUCKETS = 336
CALENDAR_SECONDS = (86_400.0, 604_800.0)
PERIODS_SEEN = 1.7
"""A day or a week is looked for in so many of them."""
LEAST_CORRELATION, BETTER = 0.25, 0.02
LEAST_PEAK = 0.2
BOUND = 6.0


class Season(NamedTuple):
    """A season: period and origin in units of time, table shape (buckets,), and ``others``.

    ``others`` is the mean of the other cycles at each training point, shape (n,), NaN if there
    is none. Period 0 and an empty table: no season.
    """

    period: float
    origin: float
    table: Floats
    others: Floats


NO_SEASON = Season(0.0, 0.0, np.empty(0), np.empty(0))


def median(values: Floats) -> float:
    """The median of numbers, shape (n,) with n ≥ 1; ``numpy.median`` takes five times as long."""
    middle = values.size // 2
    parted = np.partition(values, middle)
    above = float(parted[middle])
    return above if values.size % 2 else 0.5 * (above + float(parted[:middle].max()))


def find_season(z: Floats, times: Floats, step: float, second: float) -> Season:
    """The period whose other cycles foretell a point best, if any does.

    Args:
        z: scaled values, shape (n,).
        times: shape (n,), ascending.
        step: the usual distance in time.
        second: units of time a second; 0 if the unit is unknown.
    """
    origin, best = 0.0 if second > 0.0 else float(times[0]), NO_SEASON
    if z.size < 24 or step <= 0.0:
        return best
    bounded = np.clip(z, -BOUND, BOUND)
    strength = LEAST_CORRELATION
    for period in _candidates(z, times, step, second):
        buckets = int(np.clip(round(period / step), 4, MOST_BUCKETS))
        table, others = _phase_means(bounded, times, period, origin, buckets)
        known = ~np.isnan(others)
        if known.sum() < max(16, 0.4 * z.size):
            continue
        correlation = _correlation(bounded[known], others[known])
        if correlation > strength + BETTER:
            strength, best = correlation, Season(period, origin, table, others)
    return best


def _candidates(z: Floats, times: Floats, step: float, second: float) -> Iterator[float]:
    lag = autocorrelation_period(z)
    if lag:
        yield lag * step
    for seconds in CALENDAR_SECONDS:
        period = seconds * second
        if period >= 6.0 * step and times[-1] - times[0] >= PERIODS_SEEN * period > 0.0:
            yield period


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0.0 else 0.0


def autocorrelation_period(z: Floats) -> int:
    """The lag of the first high peak of the autocorrelation behind its first zero; 0 for none."""
    n = z.size
    most = n // 3
    if most <= 5:
        return 0
    centre = median(z)
    spread = 4.0 * 1.4826 * median(np.abs(z - centre)) or 4.0 * float(np.std(z))
    bounded = np.clip(z - centre, -spread, spread)
    size = 1 << int(np.ceil(np.log2(n + most + 1)))
    transformed = np.fft.rfft(bounded - bounded.mean(), size)
    power = np.fft.irfft(transformed.real**2 + transformed.imag**2, size)[: most + 1]
    if power[0] <= 0.0:
        return 0
    correlation = power / power[0] * n / (n - np.arange(most + 1))
    negative = np.flatnonzero(correlation < 0.0)
    start = max(4, int(negative[0]) if negative.size else 4)
    if start >= most - 1:
        return 0
    behind = correlation[start:]
    top = behind.max()
    inner = behind[1:-1]
    peaks = (inner >= behind[:-2]) & (inner >= behind[2:]) & (inner >= 0.9 * top)
    if top < LEAST_PEAK or not peaks.any():
        return 0
    return start + 1 + int(np.argmax(peaks))


def _phase_means(
    z: Floats, times: Floats, period: float, origin: float, buckets: int
) -> tuple[Floats, Floats]:
    """Mean of each bucket, and for each point that of its bucket in all other cycles."""
    turns = (times - origin) / period
    cycle = np.floor(turns)
    bucket = np.minimum(((turns - cycle) * buckets).astype(np.int64), buckets - 1)
    total = np.bincount(bucket, z, buckets)
    count = np.bincount(bucket, minlength=buckets).astype(np.float64)
    # Points of one bucket in one cycle stand one after another.
    place = cycle * buckets + bucket
    visit = np.zeros(z.size, dtype=np.int64)
    np.cumsum(place[1:] != place[:-1], out=visit[1:])
    own_count = np.bincount(visit)[visit]
    rest = count[bucket] - own_count
    others = np.where(
        rest > 0.0,
        (total[bucket] - np.bincount(visit, z)[visit]) / np.maximum(rest, 1.0),
        np.nan,
    )
    table = total / np.maximum(count, 1.0)
    known = np.flatnonzero(count > 0.0)
    if known.size < buckets:
        table = np.interp(np.arange(buckets), known, table[known], period=buckets)
    return table, others
