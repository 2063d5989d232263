"""The metrics as functions of sums over groups, so that one resampling serves all of them.

Every metric depends on a group only by sums over its units of some columns. A bootstrap or a
permutation gives such sums for all metrics at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from models.governance.bias.fleet import Booleans, Fleet, Floats

LEAST_LABELS = 10
"""Labels of a class in a group; with fewer, its rates are not compared."""

LEAST_EXPECTED = 5.0
"""Cases that a group would have if all were alike; with fewer, shares are not compared."""

DAY_BINS = 64

DEFAULT_THRESHOLDS: Mapping[str, float] = {
    "demographic_parity": 0.1,
    "alert_rate_ratio": 0.2,
    "false_alarm_parity": 0.2,
    "equalized_odds": 0.1,
    "equal_opportunity": 0.1,
    "individual_fairness": 0.1,
    "calibration_parity": 0.1,
    "learning_parity": 0.2,
    "retraining_parity": 0.2,
}

DIFFERENCE = "difference"
DIFFERENCE_THRESHOLD = 0.1
"""Of the part of ``false_alarm_parity`` that is a difference, not a ratio."""


@dataclass(frozen=True)
class Measure:
    """A metric of one set of groups.

    Attributes:
        columns: shape (n, k), what is summed over the units of a group.
        value: sums (…, groups, k) → the metric, shape (…).
        eligible: sums (groups, k) → which groups have data enough to be compared.
        why_not: said if fewer than two groups are eligible.
        part: which of the numbers that the metric is the worst of.
        note: what is to be known of how the metric was taken.
    """

    name: str
    columns: Floats
    value: Callable[[Floats], Floats]
    eligible: Callable[[Floats], Booleans]
    why_not: str
    part: str = ""
    note: str = ""


def spread(rates: Floats) -> Floats:
    """The largest less the smallest rate, groups on the last axis."""
    return np.asarray(rates.max(axis=-1) - rates.min(axis=-1))


def gap(rates: Floats) -> Floats:
    """1 less the smallest rate by the largest: 0 is alike, also where all are 0."""
    most, least = rates.max(axis=-1), rates.min(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(np.isinf(most), np.where(np.isinf(least), 1.0, 0.0), least / most)
    return np.asarray(np.where(most > 0, 1.0 - ratio, 0.0))


def ratio_of(part: Floats, whole: Floats) -> Floats:
    """A part by the whole; 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros_like(part, dtype=np.float64), where=whole > 0)


def rate_columns(fleet: Fleet, weighting: str) -> Floats:
    """Alarms and records of each unit; each unit counts alike unless weighed by its records."""
    if weighting == "records":
        return np.stack([fleet.alarms, fleet.records], axis=1)
    return np.stack([ratio_of(fleet.alarms, fleet.records), np.ones(fleet.size)], axis=1)


def measures_of(fleet: Fleet, weighting: str = "profiles") -> list[Measure]:
    """All metrics that a fleet has the data for."""
    return [
        *_alert_rates(fleet, weighting),
        *_by_labels(fleet),
        *_calibration(fleet),
        *_learning(fleet),
        *_retraining(fleet),
    ]


def _rate(sums: Floats) -> Floats:
    return ratio_of(sums[..., 0], sums[..., 1])


def _always(sums: Floats) -> Booleans:
    return np.asarray(sums[:, 1] > 0)


def _alert_rates(fleet: Fleet, weighting: str) -> list[Measure]:
    columns = rate_columns(fleet, weighting)
    why = "fewer than two groups have records"
    return [
        Measure("demographic_parity", columns, lambda s: spread(_rate(s)), _always, why),
        Measure("alert_rate_ratio", columns, lambda s: gap(_rate(s)), _always, why),
    ]


def true_positive_rate(sums: Floats) -> Floats:
    """Of sums of the confusion columns."""
    return ratio_of(sums[..., 0], sums[..., 0] + sums[..., 2])


def false_positive_rate(sums: Floats) -> Floats:
    """Of sums of the confusion columns."""
    return ratio_of(sums[..., 1], sums[..., 1] + sums[..., 3])


def precision(sums: Floats) -> Floats:
    """Of sums of the confusion columns."""
    return ratio_of(sums[..., 0], sums[..., 0] + sums[..., 1])


def _positives(sums: Floats) -> Booleans:
    return np.asarray(sums[:, 4] + sums[:, 6] >= LEAST_LABELS)


def _negatives(sums: Floats) -> Booleans:
    return np.asarray(sums[:, 5] + sums[:, 7] >= LEAST_LABELS)


def _alarmed(sums: Floats) -> Booleans:
    return np.asarray(sums[:, 4] + sums[:, 5] >= LEAST_LABELS)


def _odds(sums: Floats) -> Floats:
    return np.maximum(spread(true_positive_rate(sums)), spread(false_positive_rate(sums)))


def _by_labels(fleet: Fleet) -> list[Measure]:
    if fleet.confusion is None or fleet.labels is None:
        return []
    columns = np.concatenate([fleet.confusion, fleet.labels], axis=1)
    need = f"two groups with {LEAST_LABELS} labels of {{}} each are needed"
    rate, eligible, why, note = false_positive_rate, _negatives, need.format("normal records"), ""
    if not fleet.missed_known:
        rate, eligible, why = precision, _alarmed, need.format("alarms")
        note = "only alarms are labelled: the precision of groups is compared"
    found = [
        Measure("false_alarm_parity", columns, lambda s: gap(rate(s)), eligible, why, note=note),
        Measure(
            "false_alarm_parity",
            columns,
            lambda s: spread(rate(s)),
            eligible,
            why,
            DIFFERENCE,
            note,
        ),
    ]
    if not fleet.missed_known:
        return found
    return [
        *found,
        Measure(
            "equal_opportunity",
            columns,
            lambda s: spread(true_positive_rate(s)),
            _positives,
            need.format("abnormal records"),
        ),
        Measure(
            "equalized_odds",
            columns,
            _odds,
            lambda s: _positives(s) & _negatives(s),
            need.format("either class"),
        ),
    ]


def from_uniform(sums: Floats) -> Floats:
    """Kolmogorov–Smirnov distance of counts in bins of equal width from uniform."""
    total = sums.sum(axis=-1, keepdims=True)
    reached = np.cumsum(ratio_of(sums, np.broadcast_to(total, sums.shape)), axis=-1)
    wanted = np.arange(1, sums.shape[-1] + 1) / sums.shape[-1]
    return np.asarray(np.abs(reached - wanted).max(axis=-1))


def _calibration(fleet: Fleet) -> list[Measure]:
    if fleet.p_values is None:
        return []
    return [
        Measure(
            "calibration_parity",
            fleet.p_values,
            lambda s: spread(from_uniform(s)),
            lambda s: np.asarray(s.sum(axis=1) >= 100),
            "fewer than two groups have 100 p-values",
        )
    ]


def day_columns(days: Floats) -> tuple[Floats, Floats]:
    """One column for each number of days, and these numbers; the last is infinity.

    More than ``DAY_BINS`` of them are rounded to as many quantiles.
    """
    known = np.unique(days[np.isfinite(days)])
    if known.size > DAY_BINS:
        known = np.unique(np.quantile(days[np.isfinite(days)], np.linspace(0, 1, DAY_BINS)))
    grid = np.append(known, np.inf)
    at = np.minimum(np.searchsorted(grid, days), grid.size - 1)
    return np.eye(grid.size)[at], grid


def median_of(sums: Floats, grid: Floats) -> Floats:
    """Median of values that are counted by column, shape (…)."""
    reached = np.cumsum(sums, axis=-1)
    at = (reached >= reached[..., -1:] / 2.0).argmax(axis=-1)
    return np.asarray(grid[at])


def _learning(fleet: Fleet) -> list[Measure]:
    if fleet.days is None or not np.isfinite(fleet.days).any():
        return []
    columns, grid = day_columns(fleet.days)

    def eligible(sums: Floats) -> Booleans:
        return np.asarray(sums.sum(axis=1) > 0)

    why = "fewer than two groups have profiles that began to learn"
    name = "learning_parity"
    return [
        Measure(name, columns, lambda s: gap(median_of(s, grid)), eligible, why, "median"),
        Measure(
            name,
            columns,
            lambda s: spread(ratio_of(s[..., -1], s.sum(axis=-1))),
            eligible,
            why,
            "never active",
        ),
    ]


def _retraining(fleet: Fleet) -> list[Measure]:
    found = []
    for part, cases, of in (
        ("refused", fleet.refused, fleet.candidates),
        ("drifting", fleet.drifting, np.ones(fleet.size)),
    ):
        if cases is None or of is None or of.sum() == 0:
            continue
        usual = float(cases.sum() / of.sum())
        found.append(
            Measure(
                "retraining_parity",
                np.stack([cases, of], axis=1),
                lambda s: gap(_rate(s)),
                # Ratios of shares of hardly any cases are noise.
                lambda s, usual=usual: np.asarray(s[:, 1] * usual >= LEAST_EXPECTED),  # type: ignore[misc]
                f"two groups in which {LEAST_EXPECTED:.0f} refused candidates or drifting "
                "profiles are to be expected are needed",
                part,
            )
        )
    return found
