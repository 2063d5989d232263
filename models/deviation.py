"""Mean robust deviation: how far a sample's features lie from their medians."""

from __future__ import annotations

import numpy as np

from models import _kernels, _pack
from models._robust import Robust, robust
from models.detector import Detector, Floats


class Deviation(Detector):
    """Mean over the features of |x − median| / (1.4826 · MAD), each at most ``cap``.

    A scaled Manhattan detector (Killourhy, Maxion, 2009) with robust scales. The training
    samples' scores are exact leave-one-out: median and MAD of the others.

    Args:
        cap: the most that one feature can weigh, in robust standard deviations.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
    """

    def __init__(self, cap: float = 4.0, alert_budget: float = 0.01) -> None:
        self.cap = cap
        self.alert_budget = alert_budget

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        del every
        scaled = robust(X)
        part = deviation_part(scaled, self.cap)
        self.block_ = _pack.single(X.shape[1], part, scaled.scaling)
        return part.out_of_sample

    @staticmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1: x / (1 + x) of the mean deviation x."""
        return distance_to_unit(scores)


def deviation_part(scaled: Robust, cap: float) -> _pack.Part:
    """The packed deviation scorer of samples in robust units."""
    return _pack.Part(
        _kernels.DEVIATION, (float(cap),), np.empty(0, dtype=np.uint64), -scaled.deviations(cap)
    )


def distance_to_unit(scores: Floats) -> Floats:
    """Minus a distance, mapped to 0–1: strictly decreasing in the score, 0 for no distance."""
    return np.asarray(scores / (scores - 1.0), dtype=np.float64)
