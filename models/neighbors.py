"""Mean distance to the nearest training samples."""

from __future__ import annotations

import numpy as np

from models import _kernels, _kernels_fit, _pack
from models._robust import Robust, robust
from models.detector import Detector, Floats
from models.deviation import distance_to_unit

# A rotated part compares the features that this share of the samples have.
KNOWN = 0.9
# Least variance of an axis, as a share of their mean: bounds what rounding can be blown up to.
LEAST_VARIANCE = 1e-3


class Neighbors(Detector):
    """Mean Manhattan distance, per feature, to the nearest training samples in robust units.

    Distances are over the features that both samples have, and only to samples that have at
    least half of the row's. The training samples' scores leave the sample itself out of its
    neighbours (scales and rotation are those of all samples).

    Rows are learnt in the order of time, the newest last: with ``recency`` λ the distance to the
    oldest of n samples counts 1 + λ (n − 1) / n times.

    Args:
        n_neighbors: how many nearest samples the mean is over.
        clip: hard bound of each scaled feature, so that one wild feature does not drown the rest.
        soft: scaled features are compressed by a logarithm beyond this bound instead.
        recency: how much more the distance to the oldest sample counts, from 0 on.
        rotated: compare along the principal axes of the samples, each scaled to variance 1, with
            the covariance shrunk as Ledoit and Wolf (2004): what goes together counts once. Then
            only rows that have all of the features that 90 % of the samples have are judged.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        clip: float | None = None,
        soft: float | None = None,
        recency: float = 0.0,
        rotated: bool = False,
        alert_budget: float = 0.01,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.clip = clip
        self.soft = soft
        self.recency = recency
        self.rotated = rotated
        self.alert_budget = alert_budget

    def _fit(self, X: Floats) -> Floats:
        if self.clip is not None and self.soft is not None:
            raise ValueError("clip and soft are two ways to bound a feature: give one of them")
        scaled = robust(X)
        part = neighbors_part(
            scaled,
            self.n_neighbors,
            clip=self.clip,
            soft=self.soft,
            recency=self.recency,
            rotated=self.rotated,
        )
        self.block_ = _pack.single(X.shape[1], part, scaled.scaling)
        return part.out_of_sample

    @staticmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1: x / (1 + x) of the mean distance x."""
        return distance_to_unit(scores)


def neighbors_part(
    scaled: Robust,
    n_neighbors: int,
    *,
    clip: float | None = None,
    soft: float | None = None,
    recency: float = 0.0,
    rotated: bool = False,
) -> _pack.Part:
    """The packed nearest-neighbour scorer of robustly scaled samples."""
    how = float(clip) if clip is not None else -float(soft) if soft is not None else 0.0
    seen = _kernels.warp_all(scaled.z, how)
    if rotated:
        return _rotated_part(seen, n_neighbors, how, recency)
    columns = np.ascontiguousarray(seen.T, dtype=np.float32)
    samples = columns.shape[1]
    left_out = np.empty(samples)
    _kernels_fit.leave_one_out_neighbors(columns, n_neighbors, recency, left_out)
    gaps = bool(np.isnan(columns).any())
    return _pack.Part(
        _kernels.NEIGHBORS,
        (samples, 2 * n_neighbors + gaps, how, float(recency), 0),
        _pack.to_words(columns),
        -left_out,
    )


def _rotated_part(seen: Floats, n_neighbors: int, how: float, recency: float) -> _pack.Part:
    there = ~np.isnan(seen)
    known = np.flatnonzero(there.mean(axis=0) >= KNOWN)
    complete = there[:, known].all(axis=1)
    samples = seen[np.ix_(complete, known)]
    left_out = np.full(seen.shape[0], np.nan)
    if samples.size == 0:
        known, samples = known[:0], samples[:0, :0]
    matrix = whitening(samples).astype(np.float32)
    columns = np.ascontiguousarray((samples @ matrix.astype(np.float64)).T, dtype=np.float32)
    if samples.size > 0:
        scores = np.empty(samples.shape[0])
        _kernels_fit.leave_one_out_neighbors(columns, n_neighbors, recency, scores)
        left_out[complete] = -scores
    return _pack.Part(
        _kernels.NEIGHBORS,
        (samples.shape[0], 2 * n_neighbors, how, float(recency), known.size or -1),
        np.concatenate(
            [known.astype(np.int64).view(np.uint64), _pack.to_words(matrix), _pack.to_words(columns)]
        ),
        left_out,
    )


def whitening(samples: Floats) -> Floats:
    """Rotation to the principal axes, each scaled to variance 1, (d, d), for samples (n, d).

    The covariance is shrunk towards a multiple of the identity (Ledoit, Wolf, 2004), so that it
    holds with fewer samples than features.
    """
    n, width = samples.shape
    if n == 0 or width == 0:
        return np.zeros((width, width))
    centred = samples - samples.mean(axis=0)
    covariance = centred.T @ centred / n
    mean = float(np.trace(covariance)) / width
    if mean <= 0.0:
        return np.eye(width)
    squares = float((covariance**2).sum())
    noise = (float(((centred**2).sum(axis=1) ** 2).sum()) / n - squares) / (n * width)
    spread = squares / width - mean**2
    shrinkage = min(max(noise / spread, 0.0), 1.0) if spread > 0.0 else 1.0
    covariance *= 1.0 - shrinkage
    covariance.flat[:: width + 1] += shrinkage * mean
    variances, axes = np.linalg.eigh(covariance)
    return np.asarray(axes / np.sqrt(np.maximum(variances, LEAST_VARIANCE * mean)))
