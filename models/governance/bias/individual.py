"""Individual fairness: like deviation from one's own normal, like score.

Equal raw records of two profiles may well get different scores: that is what a model for each
profile is for. So records are compared by how they deviate from the normal of their own profile.
Source: after Dwork and others, 2012; Zemel and others, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from models.governance.bias.comparing import GroupComparison
from models.governance.bias.fleet import Floats, Integers
from models.governance.bias.resampling import percentiles

NEIGHBORS = 5
MOST_RECORDS = 2000
FURTHEST = 10.0
"""Deviations are clipped at so many scales: beyond, further is not more alike or less."""


@dataclass(frozen=True)
class Deviations:
    """Records as deviations from the normal of their own profile.

    Attributes:
        rows: shape (n, d), (x − median) / scale of the record's own profile; NaN where absent.
            Columns that hold a protected attribute are left out.
        scores: shape (n,), 0–1, higher is more abnormal.
        profiles: shape (n,), which profile each record is of.
    """

    rows: Floats
    scores: Floats
    profiles: Integers


def unfairness_of_each(told: Deviations) -> Floats:
    """|score − mean score of the 5 nearest records of other profiles|, shape (n,).

    NaN for a record that has no others to be compared with.
    """
    rows = np.clip(np.nan_to_num(told.rows, nan=0.0), -FURTHEST, FURTHEST)
    n = rows.shape[0]
    found = np.full(n, np.nan)
    if n <= NEIGHBORS:
        return found
    # The records of its own profile come among the nearest: as many more are asked for.
    own = int(np.bincount(told.profiles).max())
    asked = min(n, NEIGHBORS + own)
    near = NearestNeighbors(n_neighbors=asked).fit(rows).kneighbors(rows, return_distance=False)
    for at in range(n):
        others = near[at][told.profiles[near[at]] != told.profiles[at]][:NEIGHBORS]
        if others.size == NEIGHBORS:
            found[at] = abs(told.scores[at] - told.scores[others].mean())
    return found


def individual_fairness(
    told: Deviations,
    threshold: float,
    *,
    confidence: float,
    times: int,
    generator: np.random.Generator,
) -> GroupComparison:
    """The mean over records, at most ``MOST_RECORDS``, with an interval by profiles."""
    chosen = np.arange(told.scores.size)
    if chosen.size > MOST_RECORDS:
        chosen = np.sort(generator.choice(chosen, MOST_RECORDS, replace=False))
    each = unfairness_of_each(
        Deviations(told.rows[chosen], told.scores[chosen], told.profiles[chosen])
    )
    there = ~np.isnan(each)
    name = "individual_fairness"
    if not there.any():
        why = "there are no records of several profiles that can be read"
        return GroupComparison(name, "", "", 0.0, threshold, None, None, why_not=why)
    _, profile = np.unique(told.profiles[chosen][there], return_inverse=True)
    sums = np.stack([np.bincount(profile, weights=each[there]), np.bincount(profile)], axis=1)
    size = sums.shape[0]
    drawn = generator.multinomial(size, np.full(size, 1.0 / size), size=times) @ sums
    interval = percentiles(drawn[:, 0] / np.maximum(drawn[:, 1], 1.0), confidence)
    note = f"{int(there.sum())} records of {size} profiles were compared"
    value = float(each[there].mean())
    return GroupComparison(name, "", "", value, threshold, interval, None, note=note)
