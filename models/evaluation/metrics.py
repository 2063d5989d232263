"""Measures of how well scores tell normal from abnormal; the higher a score, the more normal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FALSE_ALARM_WEIGHT = 0.11
STEEPNESS = 5.0


def equal_error_rate(genuine: Floats, abnormal: Floats) -> float:
    """Share of errors, 0–1, at the threshold where false alarms and misses are as many.

    Between two thresholds the rates are taken as linear. NaN scores are left out; NaN where
    either side is empty.
    """
    genuine, abnormal = _sorted(genuine), _sorted(abnormal)
    if not genuine.size or not abnormal.size:
        return float("nan")
    thresholds = np.unique(np.concatenate([genuine, abnormal]))
    alarms = np.append(np.searchsorted(genuine, thresholds) / genuine.size, 1.0)
    misses = np.append(1.0 - np.searchsorted(abnormal, thresholds) / abnormal.size, 0.0)
    crossed = int(np.argmax(alarms >= misses))
    if crossed == 0:
        return float((alarms[0] + misses[0]) / 2.0)
    before = misses[crossed - 1] - alarms[crossed - 1]
    after = alarms[crossed] - misses[crossed]
    part = before / (before + after)
    return float(alarms[crossed - 1] + part * (alarms[crossed] - alarms[crossed - 1]))


def average_precision(normal: Floats, abnormal: Floats) -> float:
    """Area under precision over recall, 0–1, when the most abnormal are named first."""
    normal, abnormal = _sorted(normal), _sorted(abnormal)
    if not abnormal.size:
        return float("nan")
    found, first = np.unique(abnormal, return_index=True)
    recalled = np.append(first[1:], abnormal.size).astype(np.float64)
    alarms = np.searchsorted(normal, found, side="right")
    precision = recalled / (recalled + alarms)
    return float((np.diff(recalled, prepend=0.0) * precision).sum() / abnormal.size)


def group_means(scores: Floats, groups: Integers) -> Floats:
    """Mean score of the rows of each group, NaN rows left out; NaN for a group of only those."""
    there = ~np.isnan(scores)
    size = int(groups.max()) + 1 if groups.size else 0
    count = np.bincount(groups[there], minlength=size)
    total = np.bincount(groups[there], weights=scores[there], minlength=size)
    means: Floats = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return means


def nab_score(
    rarities: Sequence[Floats],
    windows: Sequence[Sequence[tuple[int, int]]],
    probations: Sequence[int],
    *,
    exact: bool = False,
) -> float:
    """Score of the Numenta benchmark's standard profile, 100 for perfect, 0 for no alarm at all.

    The first alarm in a labelled window earns more the earlier it is, a missed window costs 1, an
    alarm outside costs up to 0.11, less shortly after a window. One threshold for all series, the
    best one. (Lavin, Ahmad, 2015.)

    Args:
        rarities: of each series, shape (n,): the higher, the more abnormal, alike in all series.
        windows: of each series, its labelled windows as (first, last + 1).
        probations: of each series, how many first rows are not judged.
        exact: try every rarity as a threshold, instead of two hundred quantiles.
    """
    judged = [values[start:] for values, start in zip(rarities, probations, strict=True)]
    together = np.concatenate(judged)
    thresholds = np.unique(together if exact else np.quantile(together, _thresholds()))
    total = np.zeros(thresholds.size)
    labelled = 0
    for values, runs, start in zip(rarities, windows, probations, strict=True):
        total += _alarms_outside(values, runs, start, thresholds)
        for first, end in runs:
            if end > start:
                labelled += 1
                total += _first_alarm(values[max(first, start) : end], end - first, thresholds)
    best = max(float(total.max()), -float(labelled))
    return 100.0 * (best + labelled) / (2.0 * labelled) if labelled else float("nan")


def _thresholds() -> Floats:
    return np.concatenate([np.linspace(0.0, 0.9, 10), 1.0 - np.geomspace(0.1, 1e-6, 200), [1.0]])


def _first_alarm(values: Floats, width: int, thresholds: Floats) -> Floats:
    """What a window earns at each threshold: 1 at its start, little at its end, −1 when missed."""
    highest = np.maximum.accumulate(values)
    at = np.searchsorted(highest, thresholds)
    place = -(values.size - np.minimum(at, values.size - 1)) / width
    return np.where(at >= values.size, -1.0, _sigmoid(place) / _sigmoid(np.array(-1.0)))


def _alarms_outside(
    values: Floats, runs: Sequence[tuple[int, int]], start: int, thresholds: Floats
) -> Floats:
    """What alarms outside all windows cost at each threshold, at most 0."""
    place = np.full(values.size, np.inf)
    inside = np.zeros(values.size, dtype=bool)
    for first, end in sorted(runs):
        inside[first:end] = True
        place[end:] = np.arange(1, values.size - end + 1) / max(end - first - 1, 1)
    cost = FALSE_ALARM_WEIGHT * np.where(place > 3.0, -1.0, _sigmoid(np.minimum(place, 3.0)))
    outside = ~inside
    outside[:start] = False
    order = np.argsort(values[outside])
    summed = np.append(np.cumsum(cost[outside][order][::-1])[::-1], 0.0)
    return np.asarray(summed[np.searchsorted(values[outside][order], thresholds)])


def _sigmoid(place: Floats) -> Floats:
    return np.asarray(2.0 / (1.0 + np.exp(STEEPNESS * place)) - 1.0)


def _sorted(scores: Floats) -> Floats:
    return np.sort(scores[~np.isnan(scores)])
