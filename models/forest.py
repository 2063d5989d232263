"""Isolation forest."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import IsolationForest

from models.detector import FLOAT32_MAX, Detector, Floats


class Forest(Detector):
    """Isolation forest (Liu, Ting, Zhou, 2008) whose trees see half of the samples each.

    The other half of each tree's samples give the out-of-sample scores that calibrate it.

    Args:
        n_estimators: number of trees.
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
        random_state: seed of the trees.
    """

    def __init__(
        self, n_estimators: int = 100, alert_budget: float = 0.01, random_state: int = 0
    ) -> None:
        self.n_estimators = n_estimators
        self.alert_budget = alert_budget
        self.random_state = random_state

    def _fit(self, X: Floats) -> Floats:
        X = np.clip(X, -FLOAT32_MAX, FLOAT32_MAX)
        drawn = max(1, min(256, X.shape[0] // 2))
        self.forest_ = IsolationForest(
            n_estimators=self.n_estimators, max_samples=drawn, random_state=self.random_state
        ).fit(X)
        return self._out_of_bag(X, drawn)

    def _out_of_bag(self, X: Floats, drawn: int) -> Floats:
        depths = np.zeros((2, X.shape[0]))
        for tree, used in zip(
            self.forest_.estimators_, self.forest_.estimators_samples_, strict=True
        ):
            left_out = np.ones(X.shape[0], dtype=bool)
            left_out[used] = False
            if not left_out.any():
                continue
            leaves = tree.apply(X[left_out].astype(np.float32))
            path = tree.decision_path(X[left_out].astype(np.float32)).sum(axis=1).A1 - 1.0
            depths[0, left_out] += path + _average_path(tree.tree_.n_node_samples[leaves])
            depths[1, left_out] += 1.0
        unseen = depths[1] == 0
        mean_depth = depths[0] / np.maximum(depths[1], 1.0)
        scores = -np.exp2(-mean_depth / max(float(_average_path(np.array([drawn]))[0]), 1.0))
        return np.where(unseen, np.nan, scores)

    def _score(self, X: Floats) -> Floats:
        scores = self.forest_.score_samples(np.clip(X, -FLOAT32_MAX, FLOAT32_MAX))
        return np.where(np.isnan(X).all(axis=1), np.nan, scores)

    def _contributions(self, X: Floats) -> Floats:
        low, high = self.typical_
        width = np.maximum(high - low, 1e-9 * np.maximum(np.abs(high), 1e-3))
        return np.maximum(low - X, X - high) / width + 1.0

    @staticmethod
    def unit(scores: Floats) -> Floats:
        return -scores


def _average_path(samples: np.ndarray) -> Floats:
    """Average depth of an unsuccessful search in a tree of so many samples (Liu et al., eq. 1)."""
    n = samples.astype(np.float64)
    harmonic = np.log(np.maximum(n - 1.0, 1.0)) + np.euler_gamma
    return np.where(
        n <= 1, 0.0, np.where(n == 2, 1.0, 2.0 * harmonic - 2.0 * (n - 1.0) / np.maximum(n, 1.0))
    )
