"""Rates of two periods compared: budget, bias, performance by labels, quality of data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from models.governance.bias.fleet import Booleans, Fleet, Floats, Groups
from models.governance.bias.measures import gap, precision, rate_columns, ratio_of
from models.governance.bias.measures import true_positive_rate as recall_of
from models.governance.bias.resampling import bootstrap_sums, group_sums, percentiles

OFF_BUDGET = 0.999
"""Alarms of a profile within this range of the binomial are as the budget says."""


@dataclass(frozen=True)
class Change:
    """A figure in two periods.

    Attributes:
        score: how much worse the current period is; below 0 is better.
        interval: of the score, by profiles; None if there is none.
        p_value: that it is chance; None if not tested.
    """

    name: str
    reference: float
    current: float
    score: float
    interval: tuple[float, float] | None = None
    p_value: float | None = None


def off_budget(alarms: Floats, records: Floats, budget: Floats) -> Booleans:
    """Profiles whose alarms leave the 99.9 % range of the binomial of their budget, shape (n,)."""
    low, high = stats.binom.interval(OFF_BUDGET, np.maximum(records, 1), budget)
    return np.asarray((records > 0) & ((alarms < low) | (alarms > high)))


def rise_of_bias(
    reference: Fleet,
    current: Fleet,
    groups: tuple[Groups, Groups],
    *,
    weighting: str = "profiles",
    confidence: float = 0.95,
    times: int = 1000,
    generator: np.random.Generator,
) -> Change | None:
    """The alert-rate ratio of the same groups in two periods; None with fewer than two in both."""
    names = [name for name in groups[0].names if name in groups[1].names]
    if len(names) < 2:
        return None
    found, drawn = [], []
    for fleet, of in zip((reference, current), groups, strict=True):
        columns, count = rate_columns(fleet, weighting), len(of.names)
        own = [of.names.index(name) for name in names]
        sums = group_sums(columns, of.index, count)[own]
        many = bootstrap_sums(columns, of.index, count, times, generator)[:, own]
        found.append(float(gap(ratio_of(sums[..., 0], sums[..., 1]))))
        drawn.append(gap(ratio_of(many[..., 0], many[..., 1])))
    return Change(
        f"alert_rate_ratio by {groups[0].attribute}",
        found[0],
        found[1],
        found[1] - found[0],
        percentiles(drawn[1] - drawn[0], confidence),
    )


def _f1(sums: Floats) -> Floats:
    p, r = precision(sums), recall_of(sums)
    return ratio_of(2 * p * r, p + r)


PERFORMANCE: tuple[tuple[str, Callable[[Floats], Floats]], ...] = (
    ("precision", precision),
    ("recall", recall_of),
    ("f1", _f1),
)


def fall_of_performance(
    reference: Fleet,
    current: Fleet,
    *,
    confidence: float = 0.95,
    times: int = 1000,
    generator: np.random.Generator,
) -> list[Change]:
    """Precision, recall and F1 of weighted labels in two periods, with intervals by profiles.

    Recall and F1 only if records without an alarm are labelled too.
    """
    fleets = (reference, current)
    if any(f.confusion is None or f.confusion.sum() == 0 for f in fleets):
        return []
    sums, drawn = [], []
    for fleet in fleets:
        columns = fleet.confusion
        assert columns is not None  # noqa: S101  (seen above)
        index = np.zeros(fleet.size, dtype=np.int64)
        sums.append(columns.sum(axis=0))
        drawn.append(bootstrap_sums(columns, index, 1, times, generator)[:, 0])
    wanted = PERFORMANCE if all(f.missed_known for f in fleets) else PERFORMANCE[:1]
    found = []
    for name, of in wanted:
        before, now = float(of(sums[0])), float(of(sums[1]))
        interval = percentiles(of(drawn[0]) - of(drawn[1]), confidence)
        found.append(Change(name, before, now, before - now, interval))
    return found


def auc(scores: Floats, labels: Floats, weights: Floats) -> float:
    """Weighted area under the curve of the ROC, ties count half; NaN with one class alone.

    Args:
        scores: shape (n,), the higher, the more abnormal.
        labels: shape (n,), 1 abnormal, 0 normal.
        weights: shape (n,).
    """
    _, at = np.unique(scores, return_inverse=True)
    size = int(at.max()) + 1 if at.size else 0
    positive = np.bincount(at, weights=weights * labels, minlength=size)
    negative = np.bincount(at, weights=weights * (1 - labels), minlength=size)
    whole = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / whole) if whole > 0 else float("nan")


def fall_of_auc(
    scores: tuple[Floats, Floats],
    labels: tuple[Floats, Floats],
    weights: tuple[Floats, Floats],
    profiles: tuple[NDArray[np.str_], NDArray[np.str_]],
    *,
    confidence: float = 0.95,
    times: int = 200,
    generator: np.random.Generator,
) -> Change | None:
    """AUC of two periods, each a pair of arrays, with an interval by profiles."""
    values = [auc(s, y, w) for s, y, w in zip(scores, labels, weights, strict=True)]
    if np.isnan(values).any():
        return None
    drawn = np.empty((2, times))
    for side in (0, 1):
        _, own = np.unique(profiles[side], return_inverse=True)
        size = int(own.max()) + 1
        for turn in range(times):
            counts = generator.multinomial(size, np.full(size, 1.0 / size))
            drawn[side, turn] = auc(scores[side], labels[side], weights[side] * counts[own])
    there = ~np.isnan(drawn).any(axis=0)
    interval = percentiles(drawn[0, there] - drawn[1, there], confidence) if there.any() else None
    return Change("auc", values[0], values[1], values[0] - values[1], interval)


def rise_of_share(
    name: str,
    reference: tuple[Floats, Floats],
    current: tuple[Floats, Floats],
) -> Change | None:
    """A share of two periods, tested by profiles.

    Args:
        reference, current: cases and all, of each profile.

    Returns:
        None where a side has nothing. The p-value is one-sided, for a rise, of the two ratios
        with their variance between profiles (Cochran, 1977, section 6.3).
    """
    sides = []
    for cases, of in (reference, current):
        whole = of.sum()
        if whole <= 0:
            return None
        rate = float(cases.sum() / whole)
        n = int((of > 0).sum())
        apart = cases - rate * of
        variance = float((apart**2).sum() / whole**2) * n / max(n - 1, 1)
        if n < 2:
            variance = rate * (1 - rate) / whole
        sides.append((rate, variance))
    (before, spread_before), (now, spread_now) = sides
    deviation = (spread_before + spread_now) ** 0.5
    if deviation > 0:
        p = float(stats.norm.sf((now - before) / deviation))
    else:
        p = 1.0 if now <= before else 0.0
    return Change(name, before, now, now - before, None, p)
