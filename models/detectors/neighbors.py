"""Mean distance to the nearest training samples."""

from __future__ import annotations

import numpy as np

from models.detectors.base import Detector, Floats, distance_to_unit
from models.detectors.robust_scaling import Robust, robust
from models.kernels import block as packing
from models.kernels import block_format
from models.kernels import neighbors as neighbor_kernels
from models.kernels.fit import neighbors as fit_neighbors
from models.naming import pickled_as

# Whitening uses the features that this share of the samples have.
KNOWN = 0.9
# Folds of the samples for which whitening is learnt without them.
FOLDS = 10
# Least variance of an axis, as a share of their mean: bounds what rounding can be blown up to.
LEAST_VARIANCE = 1e-3
# Scaled features that deviate by less do not vary.
LEAST_SCALE = 1e-100
# A mean absolute deviation times this estimates the standard deviation of normal samples.
MEAN_TO_DEVIATION = 1.2533141373155003


@pickled_as("models.neighbors")
class Neighbors(Detector):
    """Mean Manhattan distance, per feature, to the nearest training samples in robust units.

    Distances are over the features that both samples have, and only to samples that have at
    least half of the row's. The training samples' scores leave the sample itself out of its
    neighbours (its scales are those of all samples; whitening is learnt without a tenth of them).

    Rows are learnt in the order of time, the newest last: with ``recency`` λ the distance to the
    oldest of n samples counts 1 + λ (n − 1) / n times.

    Args:
        n_neighbors: how many nearest samples the mean is over.
        clip: hard bound of each scaled feature, so that one wild feature does not drown the rest.
        soft: scaled features are compressed by a logarithm beyond this bound instead.
        recency: how much more the distance to the oldest sample counts, from 0 on.
        whitened: compare each feature less what the ones before it foretell, so that what goes
            together counts once (Mahalanobis, by the covariance shrunk as Ledoit and Wolf, 2004).
            Only the features that 90 % of the samples have are used, and only rows that have all
            of these are judged.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.

    Example:
        >>> import numpy as np
        >>> samples = np.random.default_rng(0).normal(size=(200, 2))
        >>> model = Neighbors().fit(samples)
        >>> model.predict([[0.0, 0.0], [9.0, 0.0], [np.nan, 0.0]]).tolist()
        [1, -1, 1]
        >>> int(model.contributions([[9.0, 0.0]]).argmax())
        0
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        clip: float | None = None,
        soft: float | None = None,
        recency: float = 0.0,
        whitened: bool = False,
        alert_budget: float = 0.01,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.clip = clip
        self.soft = soft
        self.recency = recency
        self.whitened = whitened
        self.alert_budget = alert_budget

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        if self.clip is not None and self.soft is not None:
            raise ValueError("clip and soft are two ways to bound a feature: give one of them")
        scaled = robust(X)
        part = neighbors_part(
            scaled,
            self.n_neighbors,
            clip=self.clip,
            soft=self.soft,
            recency=self.recency,
            whitened=self.whitened,
            every=every,
        )
        self.block_ = packing.pack_one(X.shape[1], part, scaled.scaling)
        return part.out_of_sample

    unit = staticmethod(distance_to_unit)


def neighbors_part(
    scaled: Robust,
    n_neighbors: int,
    *,
    clip: float | None = None,
    soft: float | None = None,
    recency: float = 0.0,
    whitened: bool = False,
    every: int = 1,
) -> packing.ScorerPart:
    """The packed nearest-neighbour scorer of robustly scaled samples.

    Only every n-th sample has an out-of-sample score; the others have NaN.
    """
    how = float(clip) if clip is not None else -float(soft) if soft is not None else 0.0
    if whitened:
        return _whitened_part(scaled.z, n_neighbors, how, recency, every)
    seen = neighbor_kernels.warp_all(scaled.z, how)
    kept, columns = packing.to_half(seen.T)
    samples = columns.shape[1]
    left_out = np.empty(samples)
    fit_neighbors.leave_one_out_neighbors(columns, n_neighbors, float(recency), every, left_out)
    gaps = bool(np.isnan(columns).any())
    return packing.ScorerPart(
        block_format.NEIGHBORS,
        (samples, 2 * n_neighbors + gaps, how, float(recency), 0),
        kept,
        -left_out,
    )


def _whitened_part(
    z: Floats, n_neighbors: int, how: float, recency: float, every: int
) -> packing.ScorerPart:
    there = ~np.isnan(z)
    known, complete, samples = np.arange(z.shape[1]), np.arange(z.shape[0]), z
    if not there.all():
        known = np.flatnonzero(there.mean(axis=0) >= KNOWN)
        complete = np.flatnonzero(there[:, known].all(axis=1))
        samples = z[np.ix_(complete, known)]
    left_out = np.full(z.shape[0], np.nan)
    n, width = samples.shape
    # Mean absolute deviations: what is heavy-tailed by MAD would all lie beyond the bound.
    scale = np.abs(samples).mean(axis=0) * MEAN_TO_DEVIATION if n > 0 else np.ones(width)
    inverse = 1.0 / np.where(scale > LEAST_SCALE, scale, 1.0)
    samples = neighbor_kernels.warp_all(samples * inverse, how)
    axes, columns, scores = np.zeros((width, width)), np.empty((width, n), np.float32), np.empty(n)
    if samples.size > 0:
        fit_neighbors.decorrelate(
            samples,
            FOLDS,
            n_neighbors,
            float(recency),
            every,
            LEAST_VARIANCE,
            axes,
            columns,
            scores,
        )
        left_out[complete] = -scores
    return packing.ScorerPart(
        block_format.NEIGHBORS,
        (n if width > 0 else 0, 2 * n_neighbors, how, float(recency), width or -1),
        np.concatenate(
            [
                known.astype(np.int64).view(np.uint64),
                inverse.view(np.uint64),
                packing.to_words(axes.T.astype(np.float32)),
                packing.to_half(columns)[0],
            ]
        ),
        left_out,
    )
