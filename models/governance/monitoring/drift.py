"""Drift of features between two periods, from daily sketches: PSI against χ², and KS on the bins.

Source of the test: Yurdakul, 2018: without drift, PSI / (1/n + 1/m) is about χ² distributed with
(bins − 1) degrees of freedom. Many records would make trifles significant, so a feature has moved
only if its PSI is at least 0.1 as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from models.governance.bias.fleet import Booleans, Floats
from models.governance.bias.measures import ratio_of
from models.governance.bias.resampling import benjamini_hochberg

LEAST_PSI = 0.1
LEAST_SAMPLES = 100
"""On each side; with fewer, nothing is said."""

FALSE_DISCOVERIES = 0.05
MOST_CORRELATED = 0.95


@dataclass(frozen=True)
class Sketches:
    """Daily sketches of features in a period; days without records have zero counts.

    Attributes:
        bins: shape (features, days, bins), records by bin of the value.
        missing: shape (features, days), records without the value.
        means: shape (features, days), daily means; NaN for a day without values.
        m2: shape (features, days), summed squares of deviations from the daily mean.
    """

    bins: Floats
    missing: Floats
    means: Floats
    m2: Floats

    @property
    def counts(self) -> Floats:
        """Records by bin, with a last bin for absent, shape (features, bins + 1)."""
        summed = self.bins.sum(axis=1)
        return np.concatenate([summed, self.missing.sum(axis=1)[:, None]], axis=1)


@dataclass(frozen=True)
class Moved:
    """What each feature did, shape (features,) each.

    Attributes:
        known: whether both sides have samples enough.
        effective: records that the two sides are worth, if their days depend on one another.
    """

    psi: Floats
    p_value: Floats
    ks: Floats
    effective: Floats
    known: Booleans
    moved: Booleans


def population_stability(reference: Floats, current: Floats) -> Floats:
    """PSI of counts by bin (last axis), each count plus ½."""
    p = (reference + 0.5) / (reference + 0.5).sum(axis=-1, keepdims=True)
    q = (current + 0.5) / (current + 0.5).sum(axis=-1, keepdims=True)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def kolmogorov_smirnov(reference: Floats, current: Floats) -> Floats:
    """Largest distance of the two distributions at the ends of bins (last axis)."""
    reached = [
        np.cumsum(ratio_of(c, np.broadcast_to(c.sum(axis=-1, keepdims=True), c.shape)), axis=-1)
        for c in (reference, current)
    ]
    return np.asarray(np.abs(reached[0] - reached[1]).max(axis=-1))


def effective_records(sketches: Sketches) -> Floats:
    """How many independent records the days of each feature stand for, shape (features,).

    Less than there are by (1 − ρ) / (1 + ρ), ρ the correlation of one day's mean with the next,
    and by the design effect: how much more daily means vary than records within a day explain.
    """
    counts = sketches.bins.sum(axis=2)
    total = counts.sum(axis=1) + sketches.missing.sum(axis=1)
    found = np.empty(total.size)
    for at in range(total.size):
        there = (counts[at] > 0) & ~np.isnan(sketches.means[at])
        found[at] = total[at] / _inflation(
            sketches.means[at, there], counts[at, there], sketches.m2[at, there]
        )
    return found


def _inflation(means: Floats, counts: Floats, m2: Floats) -> float:
    days = means.size
    if days < 3:
        return 1.0
    apart = means - np.average(means, weights=counts)
    around = float((apart**2).sum())
    if around <= 0:
        return 1.0
    correlation = float((apart[1:] * apart[:-1]).sum() / around)
    correlation = min(max(correlation, 0.0), MOST_CORRELATED)
    within = float(m2.sum() / max(counts.sum() - days, 1.0))
    between = float((counts * apart**2).sum() / (days - 1))
    design = between / within if within > 0 else float(counts.mean())
    # A day is worth one record at least.
    design = min(max(design, 1.0), max(float(counts.mean()), 1.0))
    return design * (1 + correlation) / (1 - correlation)


def drift(reference: Sketches, current: Sketches) -> Moved:
    """Which features moved: rejected among all given (Benjamini–Hochberg), and PSI at least 0.1."""
    r, c = reference.counts, current.counts
    worth_r, worth_c = effective_records(reference), effective_records(current)
    known = (r.sum(axis=1) >= LEAST_SAMPLES) & (c.sum(axis=1) >= LEAST_SAMPLES)
    psi = population_stability(r, c)
    # Halves that are added to empty bins count beside few effective records: what they alone make
    # of equal counts is left out by comparing shares at the size that the records are worth.
    scaled = population_stability(*(_at_worth(x, w) for x, w in ((r, worth_r), (c, worth_c))))
    occupied = np.maximum(((r + c) > 0).sum(axis=1), 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = scaled / (1.0 / worth_r + 1.0 / worth_c)
    p_value = np.where(known, stats.chi2.sf(statistic, occupied - 1), np.nan)
    moved = benjamini_hochberg(p_value, FALSE_DISCOVERIES) & (psi >= LEAST_PSI)
    return Moved(psi, p_value, kolmogorov_smirnov(r, c), worth_r + worth_c, known, moved)


def _at_worth(counts: Floats, records: Floats) -> Floats:
    total = counts.sum(axis=1, keepdims=True)
    return ratio_of(counts, np.broadcast_to(total, counts.shape)) * records[:, None]
