"""Mean and standard deviation of each feature, with thresholds by Student-t prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from models.calibration import Calibration
from models.detector import Detector, Floats, unbounded_to_unit


class Gaussian(Detector):
    """Distance from the mean in standard deviations, the largest over the features.

    The threshold is that of a Student-t prediction interval for one further sample (Geisser,
    1993), so a handful of points is enough. A constant feature has a scale of floating-point
    noise: the same value again is normal, any other is not.

    Args:
        alert_budget: share of normal samples that may fall below the threshold, 0–1.
    """

    def __init__(self, alert_budget: float = 0.01) -> None:
        self.alert_budget = alert_budget

    def _fit(self, X: Floats) -> Floats:
        count = np.maximum((~np.isnan(X)).sum(axis=0), 1)
        centre = np.where(np.isnan(X), 0.0, X).sum(axis=0) / count
        spread = np.where(np.isnan(X), 0.0, X - centre)
        deviation = np.sqrt((spread**2).sum(axis=0) / np.maximum(count - 1, 1))
        self.mean_ = centre
        self.std_ = np.maximum(deviation, 1e-9 * np.maximum(np.abs(centre), 1e-3))
        self.count_ = count
        return self._score(X)

    def _calibrate(self, out_of_sample: Floats) -> Calibration:
        base = Calibration.fit(out_of_sample)
        return StudentCalibration(
            base.scores, base.mean, base.scale, int(self.count_.min()), self.mean_.size
        )

    def _distances(self, X: Floats) -> Floats:
        return np.abs(X - self.mean_) / (self.std_ * np.sqrt(1.0 + 1.0 / self.count_))

    def _score(self, X: Floats) -> Floats:
        distances = self._distances(X)
        worst = np.where(np.isnan(distances), -1.0, distances).max(axis=1)
        return np.where(worst < 0, np.nan, -worst)

    def _contributions(self, X: Floats) -> Floats:
        return self._distances(X) ** 2

    @staticmethod
    def unit(scores: Floats) -> Floats:
        return 2.0 * unbounded_to_unit(-scores) - 1.0


@dataclass(frozen=True)
class StudentCalibration(Calibration):
    """Two-sided Student-t prediction, Šidák-corrected over the features."""

    count: int
    features: int

    def offset(self, budget: float) -> float:
        """Minus the half-width, in standard deviations, of the prediction interval at ``budget``."""
        each = -np.expm1(np.log1p(-budget) / self.features)
        return float(special.stdtrit(max(self.count - 1, 1), each / 2.0))

    def p_values(self, scores: Floats) -> Floats:
        """Chance that a normal sample lies at least as far from the mean, shape (n,)."""
        each = 2.0 * special.stdtr(max(self.count - 1, 1), scores)
        return np.asarray(-np.expm1(self.features * np.log1p(-each)), dtype=np.float64)
