"""Isolation forests: scikit-learn's estimator, compiled, and the detector built on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.detectors.base import Detector, Floats
from models.detectors.robust_scaling import robust
from models.kernels import block as packing
from models.kernels import block_format
from models.kernels import forest as forest_kernels
from models.kernels.fit import grow as grow_forest
from models.kernels.fit import out_of_bag
from models.naming import pickled_as

FLOAT32_MAX = float(np.finfo(np.float32).max)
NARROW_NODES, NARROW_FEATURES = 2**16, 2**15 - 1


@pickled_as("models.forest")
class Forest(Detector):
    """Isolation forest whose trees see half of the samples each, at most 256.

    The other half of each tree's samples give the out-of-bag scores that calibrate it.

    Args:
        n_estimators: number of trees.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
        random_state: seed of the trees.

    Example:
        >>> import numpy as np
        >>> samples = np.random.default_rng(0).normal(size=(200, 3))
        >>> model = Forest(n_estimators=50).fit(samples)
        >>> model.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]
    """

    def __init__(
        self, n_estimators: int = 100, alert_budget: float = 0.01, random_state: int = 0
    ) -> None:
        self.n_estimators = n_estimators
        self.alert_budget = alert_budget
        self.random_state = random_state

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        del every
        scaling = robust(X).scaling
        part = half_sample_part(scaling.apply(X), self.n_estimators, self.random_state)
        self.block_ = packing.pack_one(X.shape[1], part, scaling)
        return part.out_of_sample

    @staticmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1: the anomaly score of the paper."""
        return -scores


def half_sample_part(z: Floats, trees: int, seed: int) -> packing.ScorerPart:
    """A packed forest of trees that see half of the scaled samples each, with out-of-bag scores."""
    samples = z.shape[0]
    drawn = min(256, max(samples // 2, min(2, samples)))
    cast = z.astype(np.float32)
    part, bagged = grow_part(cast, trees, drawn, z.shape[1], False, seed)
    left_out = np.empty(samples)
    out_of_bag.out_of_bag(
        packing.pack_one(z.shape[1], part, None), cast.astype(np.float64), bagged, left_out
    )
    return packing.ScorerPart(part.kind, part.parameters, part.data, left_out)


def grow_part(
    samples: NDArray[np.float32],
    trees: int,
    drawn: int,
    features: int,
    bootstrap: bool,
    seed: int,
) -> tuple[packing.ScorerPart, NDArray[np.bool_]]:
    """A packed forest and, (trees, n), which samples each tree saw; no out-of-sample scores."""
    n, width = samples.shape
    depth = int(np.ceil(np.log2(max(drawn, 2))))
    most = min(2 * drawn - 1, 2 ** (depth + 1) - 1)
    wide = most > NARROW_NODES or width > NARROW_FEATURES
    words = np.empty(trees * most * (2 if wide else 1), dtype=np.uint64)
    bagged = np.empty((trees, n), dtype=np.bool_)
    columns = np.ascontiguousarray(samples.T)
    firsts = grow_forest.grow(
        columns,
        trees,
        drawn,
        features,
        depth,
        bootstrap,
        bool(np.isnan(columns).any()),
        wide,
        np.uint64(seed % 2**64),
        words,
        bagged,
    )
    return forest_part(firsts, words, drawn, wide=wide, weighted=True), bagged


def forest_part(
    firsts: NDArray[np.int64], words: packing.Words, drawn: int, *, wide: bool, weighted: bool
) -> packing.ScorerPart:
    """Nodes of a forest as a packed part; ``drawn`` samples a tree set the scale of its score."""
    nodes = words[: int(firsts[-1]) * (2 if wide else 1)]
    largest = int(np.diff(firsts).max())
    full_depth = float(forest_kernels.average_path(drawn)) * (firsts.size - 1)
    return packing.ScorerPart(
        block_format.FOREST,
        (firsts.size - 1, wide + 2 * weighted + 4 * largest, full_depth),
        np.concatenate([firsts.view(np.uint64), nodes]),
        np.empty(0),
    )
