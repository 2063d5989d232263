"""Mean distance to the nearest training samples."""

from __future__ import annotations

import numpy as np

from models import _kernels, _kernels_fit, _pack
from models._robust import Robust, robust
from models.detector import Detector, Floats
from models.deviation import distance_to_unit


class Neighbors(Detector):
    """Mean Manhattan distance, per feature, to the nearest training samples in robust units.

    Distances are over the features that both samples have, and only to samples that have at
    least half of the row's. The training samples' scores leave the sample itself out of its
    neighbours (the scales are those of all samples).

    Args:
        n_neighbors: how many nearest samples the mean is over.
        clip: bound of each scaled feature, so that a few wild ones do not drown the rest; a
            hard bound where positive, none where None.
        soft: scale beyond which features are compressed by asinh instead; None for not at all.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        clip: float | None = None,
        soft: float | None = None,
        alert_budget: float = 0.01,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.clip = clip
        self.soft = soft
        self.alert_budget = alert_budget

    def _fit(self, X: Floats) -> Floats:
        if self.clip is not None and self.soft is not None:
            raise ValueError("clip and soft are two ways to bound a feature: give one of them")
        scaled = robust(X)
        part = neighbors_part(scaled, self.n_neighbors, clip=self.clip, soft=self.soft)
        self.block_ = _pack.single(X.shape[1], part, scaled.scaling)
        return part.out_of_sample

    @staticmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1: x / (1 + x) of the mean distance x."""
        return distance_to_unit(scores)


def neighbors_part(
    scaled: Robust, n_neighbors: int, *, clip: float | None = None, soft: float | None = None
) -> _pack.Part:
    """The packed nearest-neighbour scorer of robustly scaled samples."""
    how = float(clip) if clip is not None else -float(soft) if soft is not None else 0.0
    columns = _kernels.warp_columns(scaled.z, how)
    samples = columns.shape[1]
    left_out = np.empty(samples)
    _kernels_fit.leave_one_out_neighbors(columns, n_neighbors, left_out)
    gaps = bool(np.isnan(columns).any())
    return _pack.Part(
        _kernels.NEIGHBORS,
        (samples, 2 * n_neighbors + gaps, how),
        _pack.to_words(columns),
        -left_out,
    )
