"""Base of the detectors: a scikit-learn outlier estimator that calibrates itself when fitted."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from typing import Any, Self, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from models.calibration.conformal import (
    FEW,
    Calibration,
    blocked_cv_scores,
    out_of_sample,
    tolerance,
)
from models.calibration.counted import CAUTION, thinned, with_vouched
from models.calibration.evidence import Evidence, weigh
from models.kernels import block as packing

Floats = NDArray[np.float64]

MIN_CALIBRATION_SAMPLES = 150
"""Out-of-sample scores of so many training samples tell mean and deviation well enough."""


class Detector(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the detectors: learns one profile's normal and says how abnormal a sample is.

    A subclass gives ``_fit``; NaN is absent evidence and is never imputed. ``score_samples``
    follows scikit-learn: the higher, the more normal.

    Learnt attributes:
        block_: the packed model, an array of 8-byte words: all that scoring needs.
        calibration_: the out-of-sample scores of the training samples and what follows from them.
        in_blocks_: whether these are by models without a block of neighbours in time.
        repeated_, far_out_: training samples that were left out, see ``calibration.evidence``.
        worth_: how many independent samples each of the others stands for, above 0 to 1.
        handful_: whether so few are left that the threshold is a tolerance limit.
        offset_: the score below which a sample is an anomaly at ``alert_budget``.
        typical_: shape (2, d), the 5 % and 95 % quantiles of each feature of the training samples.
    """

    least_spread: float = 0.0
    """Scores of a profile whose samples are all alike are taken to spread by this."""

    caution: float = CAUTION
    """How far dependent samples may go beyond where they have been, see ``calibration.counted``."""

    alert_budget: float
    block_: NDArray[np.uint64]
    calibration_: Calibration
    in_blocks_: bool
    repeated_: int
    far_out_: int
    worth_: float
    handful_: bool
    offset_: float
    typical_: Floats
    n_features_in_: int

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        latest: Floats | None = None,
        suspected: bool = False,
        evidence: Evidence | None = None,
    ) -> Self:
        """Learn from samples of normal, shape (n, d), in the order of time, NaN where absent.

        Args:
            X: the samples.
            y: not used.
            latest: scores of the latest samples by a model without them, if they are known
                already.
            suspected: neighbours in time may resemble one another: an earlier version was
                calibrated in blocks.
            evidence: what the samples are worth, where that is known already.

        Raises:
            ValueError: no samples, no features, or infinite values.
        """
        del y
        samples = self._check(X, reset=True)
        given = samples.shape[0]
        found = weigh(samples) if evidence is None else evidence
        self.repeated_, self.far_out_, self.worth_ = found.repeated, found.far_out, found.worth
        if not found.kept.all() or found.vouched.any():
            learnt = found.learnt()
            samples, found = samples[learnt], found.of(learnt)
        self.handful_ = samples.shape[0] < FEW < given
        left_out = self._fit(samples)
        vouched = found.vouched
        own = np.flatnonzero(~vouched)
        scores, self.in_blocks_ = out_of_sample(
            left_out[own],
            lambda block: self._held_out(samples, own[block]),
            latest,
            suspected,
            dependent=found.worth < 1.0,
        )
        scores = thinned(scores, found.worth, self.caution)
        if vouched.any():
            scores = with_vouched(scores, left_out[vouched], self.alert_budget)
        self.calibration_ = self._calibrate(scores)
        self.offset_ = self.calibration_.offset(self.alert_budget)
        self.typical_ = typical_ranges(samples)
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled detector, one of an earlier version too."""
        super().__setstate__(state)
        if hasattr(self, "block_"):
            self.block_ = packing.upgrade_block(self.block_)

    def score_samples(self, X: ArrayLike) -> Floats:
        """Score of each row, shape (n,): the higher, the more normal; NaN without evidence."""
        check_is_fitted(self, "offset_")
        return self._score(self._check(X, reset=False))

    def decision_function(self, X: ArrayLike) -> Floats:
        """Score less the threshold, shape (n,): negative is an anomaly at ``alert_budget``."""
        return np.asarray(self.score_samples(X) - self.offset_, dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """-1 for an anomaly, 1 for normal, shape (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def contributions(self, X: ArrayLike) -> Floats:
        """Share of each feature in the abnormality of each row, shape (n, d), rows sum to 1.

        A row without evidence has none: zeros.
        """
        check_is_fitted(self, "offset_")
        return self._explain(self._check(X, reset=False))

    def blocked_scores(self, X: ArrayLike, folds: int = 5) -> Floats:
        """Score of each sample by a model of the other blocks, shape (n,).

        The samples are cut into ``folds`` runs in their order, so that samples near in time are
        left out together. Nothing learnt by this detector changes. NaN if a sample has no
        evidence, or no other block is left to learn from.
        """
        samples = np.asarray(X, dtype=np.float64, order="C")
        return blocked_cv_scores(
            samples.shape[0], lambda block: self._held_out(samples, block), folds
        )

    def _held_out(self, X: Floats, block: NDArray[np.int64]) -> Floats:
        """Scores of the rows ``block`` by a model of the other rows, NaN if there are none."""
        rest = np.delete(X, block, axis=0)
        if rest.shape[0] == 0:
            return np.full(block.size, np.nan)
        judge = copy(self)
        judge._fit(rest, max(1, rest.shape[0] // MIN_CALIBRATION_SAMPLES))
        return judge._score(X[block])

    def _score(self, X: Floats) -> Floats:
        return packing.score_rows(self.block_, X)

    def _explain(self, X: Floats) -> Floats:
        return packing.explain_rows(self.block_, X)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed model."""
        return int(self.block_.nbytes)

    @abstractmethod
    def _fit(self, X: Floats, every: int = 1) -> Floats:
        """Set ``block_`` and give the out-of-sample score of each training sample, shape (n,).

        Args:
            X: the samples, shape (n, d).
            every: score every n-th sample only; the scores of others may be NaN.
        """

    @staticmethod
    @abstractmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1, strictly decreasing: 1 is the most abnormal."""

    def _calibrate(self, out_of_sample: Floats) -> Calibration:
        return Calibration.fit(out_of_sample, self.least_spread, self._wider(out_of_sample.size))

    def _wider(self, count: int, features: int = 1) -> float:
        """How many times wider a threshold is that a handful of samples gives.

        What it rejects wrongly is not learnt, so that no later version makes up for it.
        """
        return tolerance(count, self.alert_budget / features) if self.handful_ else 1.0

    def _check(self, X: ArrayLike, *, reset: bool) -> Floats:
        if self._plain(X, reset=reset):
            self.n_features_in_ = X.shape[1]
            return X
        checked: Floats = validate_data(
            self, X, reset=reset, dtype=np.float64, order="C", ensure_all_finite="allow-nan"
        )
        return checked

    def _plain(self, X: ArrayLike, *, reset: bool) -> TypeGuard[Floats]:
        """Whether ``validate_data`` would give back the very array, without a look at its names."""
        return (
            type(X) is np.ndarray
            and X.dtype == np.float64
            and X.ndim == 2
            and X.size > 0
            and X.flags.c_contiguous
            and not hasattr(self, "feature_names_in_")
            and (reset or getattr(self, "n_features_in_", None) == X.shape[1])
            and not np.isinf(X).any()
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def typical_ranges(X: Floats) -> Floats:
    """The 5 % and 95 % quantiles of each feature, shape (2, d); NaN for a feature never seen."""
    # A row for each feature: they are sorted in half of the time.
    ordered = np.sort(np.ascontiguousarray(X.T), axis=1)
    last = np.maximum(X.shape[0] - np.isnan(ordered).sum(axis=1) - 1, 0)
    position = np.array([[0.05], [0.95]]) * last
    below = position.astype(np.int64)
    above = np.minimum(below + 1, last)
    feature = np.arange(X.shape[1])
    low, high = ordered[feature, below], ordered[feature, above]
    part = position - below
    return np.asarray(low * (1.0 - part) + high * part, dtype=np.float64)


def unbounded_to_unit(abnormality: Floats) -> Floats:
    """Real numbers to 0–1, strictly increasing, 0 to 0.5; spreads further out than a logistic."""
    return 0.5 * (1.0 + abnormality / (1.0 + np.abs(abnormality)))


def distance_to_unit(scores: Floats) -> Floats:
    """Minus a distance, mapped to 0–1: strictly decreasing in the score, 0 for no distance."""
    return np.asarray(scores / (scores - 1.0), dtype=np.float64)


def mean_to_unit(scores: Floats) -> Floats:
    """Scores mapped to 0–1, 0.5 for the mean of the training samples."""
    return unbounded_to_unit(-scores)
