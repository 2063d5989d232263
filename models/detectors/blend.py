"""The default detector: several detectors, each standardised, averaged."""

from __future__ import annotations

import numpy as np

from models.detectors.base import Detector, Floats, mean_to_unit
from models.detectors.deviation import deviation_part
from models.detectors.extremes import extremes_part
from models.detectors.forest import half_sample_part
from models.detectors.neighbors import neighbors_part
from models.detectors.robust_scaling import Robust, robust
from models.kernels import block as packing
from models.naming import pickled_as

CAP = 4.0
CLIP = 3.0
NEIGHBORS = 5
SOFT = 1.0
RECENCY = 1.0

PARTS = ("forest", "deviation", "neighbors", "clipped", "recent", "whitened", "extremes")

# By mean equal error rate over all recordings: docs/quality.md.
DEFAULT_PARTS: tuple[tuple[str, float], ...] = (
    ("recent", 1.0),
    ("whitened", 1.0),
    ("neighbors", 0.25),
    ("extremes", 0.25),
)


@pickled_as("models.blend")
class Blend(Detector):
    """Weighted mean of detectors, each in standard deviations of its own training scores.

    The mean and standard deviation of a part are those of its out-of-sample scores of the
    training samples: out-of-bag for the forest, leave-one-out for the others. All parts see the
    same robustly scaled samples. A part that has nothing to say about a row is left out.

    Args:
        parts: names and weights of the parts: ``forest``, ``deviation``, ``neighbors`` (plain),
            ``clipped`` (neighbours, each feature bounded), ``recent`` (neighbours, each feature
            compressed by a logarithm, near in time counts as nearer), ``whitened`` (the same
            of what the other features do not foretell) and ``extremes`` (how far the worst
            feature goes beyond all training samples: one gross value among many is not averaged
            away).
        n_estimators: trees of the forest.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
        random_state: seed of the forest.

    Example:
        >>> import numpy as np
        >>> samples = np.random.default_rng(0).normal(10.0, 1.0, size=(200, 3))
        >>> model = Blend().fit(samples)
        >>> rows = [[10.0, 10.0, 10.0], [10.0, 10.0, 25.0], [np.nan, np.nan, np.nan]]
        >>> (model.decision_function(rows) < 0.0).tolist()
        [False, True, False]
        >>> np.isnan(model.score_samples(rows)).tolist()  # no evidence, no score
        [False, False, True]
    """

    least_spread = 0.1

    def __init__(
        self,
        parts: tuple[tuple[str, float], ...] = DEFAULT_PARTS,
        n_estimators: int = 100,
        alert_budget: float = 0.01,
        random_state: int = 0,
    ) -> None:
        self.parts = parts
        self.n_estimators = n_estimators
        self.alert_budget = alert_budget
        self.random_state = random_state

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        if not self.parts or any(weight <= 0 for _, weight in self.parts):
            raise ValueError(f"parts is {self.parts!r}, expected names with weights above 0")
        scaled = robust(X)
        parts = [(self._part(name, scaled, every), weight) for name, weight in self.parts]
        self.block_, out_of_sample = packing.blend(
            X.shape[1], parts, scaled.scaling, constant=not (np.abs(scaled.z) > 0.0).any()
        )
        return out_of_sample

    def _part(self, name: str, scaled: Robust, every: int) -> packing.ScorerPart:
        match name:
            case "forest":
                return half_sample_part(scaled.z, self.n_estimators, self.random_state)
            case "deviation":
                return deviation_part(scaled, CAP)
            case "neighbors":
                return neighbors_part(scaled, NEIGHBORS, every=every)
            case "clipped":
                return neighbors_part(scaled, NEIGHBORS, clip=CLIP, every=every)
            case "recent":
                return neighbors_part(scaled, NEIGHBORS, soft=SOFT, recency=RECENCY, every=every)
            case "whitened":
                return neighbors_part(
                    scaled, NEIGHBORS, soft=SOFT, recency=RECENCY, whitened=True, every=every
                )
            case "extremes":
                return extremes_part(scaled)
        raise ValueError(f"part {name!r} is unknown: {', '.join(PARTS)}")

    unit = staticmethod(mean_to_unit)
