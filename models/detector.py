"""What every detector is: a scikit-learn outlier estimator that calibrates itself when it is fitted."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from models.calibration import Calibration

Floats = NDArray[np.float64]

FLOAT32_MAX = float(np.finfo(np.float32).max)


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the detectors: learns one profile's normal and says how abnormal a sample is.

    A subclass gives ``_fit``, ``_score`` and ``_contributions``; NaN is absent evidence and is
    never imputed. ``score_samples`` follows scikit-learn: the higher, the more normal.

    Learnt attributes:
        calibration_: the out-of-sample scores of the training samples and what follows from them.
        offset_: the score below which a sample is an anomaly at ``alert_budget``.
        typical_: shape (2, d), the 5 % and 95 % quantiles of each feature of the training samples.
    """

    alert_budget: float
    calibration_: Calibration
    offset_: float
    typical_: Floats
    n_features_in_: int

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Learn from samples of normal, shape (n, d), NaN where a value is absent.

        Raises:
            ValueError: no samples, no features, or infinite values.
        """
        samples = self._check(X, reset=True)
        out_of_sample = self._fit(samples)
        self.calibration_ = self._calibrate(out_of_sample)
        self.offset_ = self.calibration_.offset(self.alert_budget)
        self.typical_ = typical_ranges(samples)
        return self

    def score_samples(self, X: ArrayLike) -> Floats:
        """Score of each row, shape (n,): the higher, the more normal; NaN for a row without evidence."""
        check_is_fitted(self, "offset_")
        return self._score(self._check(X, reset=False))

    def decision_function(self, X: ArrayLike) -> Floats:
        """Score less the threshold, shape (n,): negative is an anomaly at ``alert_budget``."""
        return np.asarray(self.score_samples(X) - self.offset_, dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """-1 for an anomaly, 1 for normal, shape (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def contributions(self, X: ArrayLike) -> Floats:
        """Share of each feature in the abnormality of each row, shape (n, d), rows sum to 1."""
        check_is_fitted(self, "offset_")
        raw = np.maximum(np.nan_to_num(self._contributions(self._check(X, reset=False))), 0.0)
        total = raw.sum(axis=1, keepdims=True)
        return np.divide(raw, total, out=np.zeros_like(raw), where=total > 0)

    @abstractmethod
    def _fit(self, X: Floats) -> Floats:
        """Learn, and give the out-of-sample score of each training sample, shape (n,)."""

    @abstractmethod
    def _score(self, X: Floats) -> Floats: ...

    @abstractmethod
    def _contributions(self, X: Floats) -> Floats:
        """How much each feature of each row adds to its abnormality, shape (n, d), any unit ≥ 0."""

    @staticmethod
    @abstractmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1, strictly decreasing: 1 is the most abnormal."""

    def _calibrate(self, out_of_sample: Floats) -> Calibration:
        return Calibration.fit(out_of_sample)

    def _check(self, X: ArrayLike, *, reset: bool) -> Floats:
        checked: Floats = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return checked

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def typical_ranges(X: Floats) -> Floats:
    """The 5 % and 95 % quantiles of each feature, shape (2, d); NaN for a feature never seen."""
    ranges = np.full((2, X.shape[1]), np.nan)
    seen = ~np.isnan(X).all(axis=0)
    if seen.any():
        ranges[:, seen] = np.nanquantile(X[:, seen], [0.05, 0.95], axis=0)
    return ranges


def unbounded_to_unit(abnormality: Floats) -> Floats:
    """Real numbers to 0–1, strictly increasing, 0 to 0.5; spreads further out than a logistic."""
    return 0.5 * (1.0 + abnormality / (1.0 + np.abs(abnormality)))
