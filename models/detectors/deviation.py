"""Mean robust deviation: how far a sample's features lie from their medians."""

from __future__ import annotations

import numpy as np

from models.detectors.base import Detector, Floats, distance_to_unit
from models.detectors.robust_scaling import Robust, robust
from models.kernels import block as packing
from models.kernels import block_format
from models.naming import pickled_as


@pickled_as("models.deviation")
class Deviation(Detector):
    """Mean over the features of |x − median| / (1.4826 · MAD), each at most ``cap``.

    A scaled Manhattan detector (Killourhy, Maxion, 2009) with robust scales. The training
    samples' scores are exact leave-one-out: median and MAD of the others.

    Args:
        cap: the most that one feature can weigh, in robust standard deviations.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.

    Example:
        >>> import numpy as np
        >>> samples = np.random.default_rng(0).normal(size=(200, 3))
        >>> model = Deviation().fit(samples)
        >>> model.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]
    """

    def __init__(self, cap: float = 4.0, alert_budget: float = 0.01) -> None:
        self.cap = cap
        self.alert_budget = alert_budget

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        del every
        scaled = robust(X)
        part = deviation_part(scaled, self.cap)
        self.block_ = packing.pack_one(X.shape[1], part, scaled.scaling)
        return part.out_of_sample

    unit = staticmethod(distance_to_unit)


def deviation_part(scaled: Robust, cap: float) -> packing.ScorerPart:
    """The packed deviation scorer of samples in robust units."""
    return packing.ScorerPart(
        block_format.DEVIATION,
        (float(cap),),
        np.empty(0, dtype=np.uint64),
        -scaled.deviations(cap),
    )
