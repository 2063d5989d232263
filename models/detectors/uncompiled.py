"""Detectors that score in Python: slower, so that one from a library is a single module."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from models.detectors.base import Detector, Floats, mean_to_unit


class Uncompiled(Detector):
    """A detector without a block for the kernels.

    A subclass gives ``learn`` and ``score``. Artefacts keep the training samples and parameters,
    not what ``learn`` returns: that is learnt again when one is opened, so no class of a library
    is ever unpickled. Absent values are replaced by the median of the training samples; a row
    without any value has no score.

    Learnt attributes:
        samples_: the training samples, shape (n, d).
        median_: of each feature, shape (d,); 0 for a feature never seen.

    Example:
        >>> from sklearn.neighbors import LocalOutlierFactor
        >>> class Density(Uncompiled):
        ...     def __init__(self, alert_budget=0.01):
        ...         self.alert_budget = alert_budget
        ...     def learn(self, X):
        ...         return LocalOutlierFactor(novelty=True).fit(X)
        ...     def score(self, learnt, X):
        ...         return learnt.score_samples(X) + 1.0
        >>> samples = np.random.default_rng(0).normal(size=(200, 2))
        >>> Density().fit(samples).predict([[0.0, 0.0], [9.0, 9.0]]).tolist()
        [1, -1]
    """

    samples_: Floats
    median_: Floats
    learnt_: Any

    unit = staticmethod(mean_to_unit)

    @abstractmethod
    def learn(self, X: Floats) -> Any:
        """What ``score`` needs of training samples without NaN, shape (n, d); deterministic."""

    @abstractmethod
    def score(self, learnt: Any, X: Floats) -> Floats:
        """Score of rows without NaN, shape (n,): the higher, the more normal, about 0 for most."""

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        del every
        self.samples_ = X
        self._learn()
        # Nothing is known out of sample: the calibration holds blocks out instead.
        return self._score(X)

    def _learn(self) -> None:
        seen = ~np.isnan(self.samples_).all(axis=0)
        self.median_ = np.zeros(self.samples_.shape[1])
        self.median_[seen] = np.nanmedian(self.samples_[:, seen], axis=0)
        self.learnt_ = self.learn(self._filled(self.samples_))

    def _filled(self, X: Floats) -> Floats:
        return np.where(np.isnan(X), self.median_, X)

    def _score(self, X: Floats) -> Floats:
        evident = ~np.isnan(X).all(axis=1)
        scores = np.full(X.shape[0], np.nan)
        if evident.any():
            scores[evident] = self.score(self.learnt_, self._filled(X[evident]))
        return scores

    def _explain(self, X: Floats) -> Floats:
        """By how much the score rises if one feature takes its median, as shares."""
        before, gains = self._score(X), np.zeros(X.shape)
        for feature in range(X.shape[1]):
            changed = X.copy()
            changed[:, feature] = self.median_[feature]
            gains[:, feature] = np.maximum(self._score(changed) - before, 0.0)
        gains[np.isnan(X) | np.isnan(gains)] = 0.0
        total = gains.sum(axis=1, keepdims=True)
        shares: Floats = np.divide(gains, total, out=np.zeros(X.shape), where=total > 0)
        return shares

    @property
    def nbytes(self) -> int:
        """Bytes of the training samples."""
        return int(self.samples_.nbytes)

    def __getstate__(self) -> dict[str, Any]:
        return {name: held for name, held in super().__getstate__().items() if name != "learnt_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Learn again from the training samples."""
        super().__setstate__(state)
        if "samples_" in state:
            self._learn()
