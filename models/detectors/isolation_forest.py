"""Isolation forest with scikit-learn's parameters and compiled trees."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from models.detectors.base import Floats
from models.detectors.forest import FLOAT32_MAX, grow_part
from models.detectors.sklearn_import import import_trees
from models.kernels import block as packing
from models.naming import pickled_as


@pickled_as("models.forest")
class IsolationForest(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """Isolation forest (Liu, Ting, Zhou, 2008) as scikit-learn's, compiled.

    Parameters, methods and scores are those of ``sklearn.ensemble.IsolationForest``. Where a value
    is absent (NaN) a split tells nothing: a training sample goes at random, by the share of the
    others on each side; a row that is scored gets the mean over both sides by that share. It is
    never replaced by a number. Equal seeds give equal bits.

    Args:
        n_estimators: number of trees.
        max_samples: samples that each tree sees: a number, a share, or "auto" for at most 256.
        contamination: share of outliers among the training samples, (0, 0.5], which sets
            ``offset_``; "auto" for an offset of -0.5.
        max_features: features that each tree sees: a number or a share.
        bootstrap: draw a tree's samples with replacement.
        random_state: seed of the trees.

    Learnt attributes:
        block_: the packed forest, an array of 8-byte words.
        offset_: score below which ``predict`` gives -1.
        max_samples_: samples that each tree saw.

    Example:
        >>> import numpy as np
        >>> samples = np.random.default_rng(0).normal(size=(200, 3))
        >>> forest = IsolationForest(random_state=0).fit(samples)
        >>> forest.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]]).tolist()
        [1, -1]
    """

    block_: NDArray[np.uint64]
    offset_: float
    max_samples_: int
    n_features_in_: int

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        max_samples: str | float = "auto",
        contamination: str | float = "auto",
        max_features: float = 1.0,
        bootstrap: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.contamination = contamination
        self.max_features = max_features
        self.bootstrap = bootstrap
        self.random_state = random_state

    @classmethod
    def from_sklearn(cls, forest: Any) -> Self:
        """A fitted ``sklearn.ensemble.IsolationForest`` with its trees: it scores the same.

        Rows are cast to float32 and thresholds rounded down to it, which keeps every comparison;
        NaN goes where the tree sends it.

        Raises:
            sklearn.exceptions.NotFittedError: the forest is not fitted.
        """
        check_is_fitted(forest)
        known = {name: getattr(forest, name) for name in cls().get_params()}
        imported = cls(**known)
        part = import_trees(forest)
        imported.n_features_in_ = forest.n_features_in_
        if hasattr(forest, "feature_names_in_"):
            imported.feature_names_in_ = forest.feature_names_in_
        imported.max_samples_ = forest.max_samples_
        imported.offset_ = forest.offset_
        imported.block_ = packing.pack_one(forest.n_features_in_, part, None)
        return imported

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Grow the forest on samples, shape (n, d), NaN if a value is absent.

        Raises:
            ValueError: no samples, no features, infinite values, or a parameter out of range.
        """
        del y
        samples = self._check(X, reset=True)
        n, width = samples.shape
        self._check_parameters()
        self.max_samples_ = _share(self.max_samples, n, automatic=256)
        features = _share(self.max_features, width, automatic=width)
        seed = check_random_state(self.random_state).randint(2**32, dtype=np.uint64)
        cast = _to_float32(samples)
        part, _ = grow_part(
            cast, self.n_estimators, self.max_samples_, features, self.bootstrap, int(seed)
        )
        self.block_ = packing.pack_one(width, part, None)
        self.offset_ = -0.5
        if self.contamination != "auto":
            scores = packing.score_rows(self.block_, samples)
            self.offset_ = float(np.percentile(scores, 100.0 * float(self.contamination)))
        return self

    def score_samples(self, X: ArrayLike) -> Floats:
        """Minus the anomaly score of the paper, shape (n,): the lower, the more abnormal."""
        check_is_fitted(self, "block_")
        return packing.score_rows(self.block_, self._check(X, reset=False))

    def decision_function(self, X: ArrayLike) -> Floats:
        """Score less ``offset_``, shape (n,): negative is an outlier."""
        return np.asarray(self.score_samples(X) - self.offset_, dtype=np.float64)

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """-1 for an outlier, 1 for an inlier, shape (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    @property
    def nbytes(self) -> int:
        """Bytes of the packed forest."""
        return int(self.block_.nbytes)

    def _check_parameters(self) -> None:
        if not isinstance(self.n_estimators, Integral) or self.n_estimators < 1:
            raise ValueError(f"n_estimators is {self.n_estimators!r}, expected a number from 1 on")
        if self.contamination != "auto" and not (
            isinstance(self.contamination, Real) and 0.0 < self.contamination <= 0.5
        ):
            raise ValueError(f"contamination is {self.contamination!r}, expected auto or (0, 0.5]")

    def _check(self, X: ArrayLike, *, reset: bool) -> Floats:
        checked: Floats = validate_data(
            self, X, reset=reset, dtype=np.float64, order="C", ensure_all_finite="allow-nan"
        )
        return checked

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags


def _share(wanted: str | float, available: int, *, automatic: int) -> int:
    """A number or a share of what is available, at least 1.

    Raises:
        ValueError: not a number from 1 on, a share in (0, 1], or "auto".
    """
    if wanted == "auto":
        return min(automatic, available)
    if isinstance(wanted, Integral) and not isinstance(wanted, bool) and wanted >= 1:
        return min(int(wanted), available)
    if isinstance(wanted, Real) and not isinstance(wanted, Integral) and 0.0 < wanted <= 1.0:
        return max(1, int(wanted * available))
    raise ValueError(f"{wanted!r} is neither a number from 1 on, a share in (0, 1], nor auto")


def _to_float32(samples: Floats) -> NDArray[np.float32]:
    return np.clip(samples, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
