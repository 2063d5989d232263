"""How often the score of a sample counts: less where samples depend, more what was vouched for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.calibration.conformal import FEW

Floats = NDArray[np.float64]

CAUTION = 0.6
"""Rank of the lowest thinned score, as a share of what independent samples would have.

How far dependent samples have not been yet stands in none of their scores.
"""

VOUCHED_FROM = 10
"""Fewer accepted samples than these say too little of how far their like goes."""

VOUCHED_MISSED = 0.1
"""Share of the like of accepted samples that may still be called anomalous."""


def thinned(scores: Floats, worth: float, caution: float = CAUTION) -> Floats:
    """As many scores as independent samples would give, at evenly spread ranks.

    The lowest has about the rank that the lowest of so few has among all. Never fewer than
    ``FEW``, if there are as many. All as they are where each is worth one.

    Args:
        scores: out-of-sample scores, shape (n,), NaN without evidence.
        worth: how many independent samples each stands for, above 0 to 1.
        caution: see ``CAUTION``.
    """
    if worth >= 1.0:
        return scores
    known = np.sort(scores[~np.isnan(scores)])
    wanted = max(FEW, round(worth * known.size))
    if wanted >= known.size:
        return known
    first = caution * ((known.size + 1) / (wanted + 1) - 1.0)
    ranks = np.linspace(first, known.size - 1, wanted)
    return np.interp(ranks, np.arange(known.size), known)


def with_vouched(scores: Floats, vouched: Floats, budget: float) -> Floats:
    """Calibration scores with those of samples that an analyst accepted, which count for more.

    Accepted samples are few, and rarer than the budget among all. From ``VOUCHED_FROM`` on they
    count so often that a budget's share of all is a tenth of them, at most.

    Args:
        scores: of all others, shape (n,), NaN without evidence.
        vouched: of what was accepted, each left out alone, shape (m,).
        budget: share of normal samples that may be called anomalous, 0–1.
    """
    own = vouched[~np.isnan(vouched)]
    times = 1
    if own.size >= VOUCHED_FROM:
        share = min(budget / VOUCHED_MISSED, 0.5)
        times = max(1, int(np.ceil(share / (1.0 - share) * scores.size / own.size)))
    return np.concatenate([scores, np.repeat(own, times)])
