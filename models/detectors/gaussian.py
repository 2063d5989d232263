"""Mean and standard deviation of each feature, with thresholds by Student-t prediction."""

from __future__ import annotations

import numpy as np

from models.calibration.conformal import Calibration, StudentCalibration
from models.detectors.base import Detector, Floats, distance_to_unit
from models.kernels import block as packing
from models.kernels import block_format
from models.naming import pickled_as

# Differences below this share of the mean are rounding.
NOISE = 1e-12


@pickled_as("models.gaussian")
class Gaussian(Detector):
    """Distance from the mean in standard deviations of prediction, the largest over the features.

    The threshold is that of a Student-t prediction interval for one further sample (Geisser,
    1993), so a handful of points is enough. The scale of a constant feature is a thousandth
    of its value.

    Args:
        alert_budget: share of normal samples that may fall below the threshold, 0–1.

    Example:
        >>> model = Gaussian(alert_budget=0.01).fit([[10.0], [11.0], [9.0], [10.5], [9.5]])
        >>> model.predict([[10.2], [20.0]]).tolist()
        [1, -1]
        >>> model.mean_.tolist()
        [10.0]
    """

    least_spread = 0.1
    caution = 1.0
    """Its bell goes beyond its samples by itself."""

    def __init__(self, alert_budget: float = 0.01) -> None:
        self.alert_budget = alert_budget

    def _fit(self, X: Floats, every: int = 1) -> Floats:
        del every
        bounded = np.clip(X, -packing.HUGE, packing.HUGE)
        there = ~np.isnan(bounded)
        count = there.sum(axis=0)
        divisor = np.maximum(count, 1)
        mean = np.where(count > 0, np.where(there, bounded, 0.0).sum(axis=0) / divisor, np.nan)
        residual = np.where(there, bounded - mean, 0.0)
        square = (residual**2).sum(axis=0)
        deviation = np.sqrt(square / np.maximum(count - 1, 1))
        self.mean_, self.std_, self.count_ = mean, deviation, count
        scaling = _scaling(mean, deviation * np.sqrt(1.0 + 1.0 / divisor))
        # Leaving x out moves the mean by r / (n − 1) and the sum of squares by r² · n / (n − 1).
        rest = np.maximum(count - 1, 1)
        square_left = np.maximum(square - residual**2 * (count / rest), 0.0)
        deviation_left = np.sqrt(square_left / np.maximum(count - 2, 1))
        gap = np.abs(residual) * (count / rest)
        varies = deviation_left > packing.rounding(mean, NOISE)
        deviation_left = np.where(varies, deviation_left, packing.constant_scale(mean))
        scale_left = deviation_left * np.sqrt(1.0 + 1.0 / rest)
        z = np.where(there & (count > 1), np.minimum(gap / scale_left, packing.LIMIT), -1.0)
        worst = z.max(axis=1)
        part = packing.ScorerPart(
            block_format.GAUSSIAN,
            (packing.LIMIT,),
            np.empty(0, dtype=np.uint64),
            np.where(worst < 0, np.nan, -worst),
        )
        self.block_ = packing.pack_one(X.shape[1], part, scaling)
        return part.out_of_sample

    def _calibrate(self, out_of_sample: Floats) -> Calibration:
        count = int(self.count_.min())
        if self.worth_ < 1.0:
            count = min(count, max(out_of_sample.size, 1))
        width = self.mean_.size
        # Two sides of each feature.
        wider = self._wider(count, 2 * width)
        return StudentCalibration.predict(out_of_sample, count, width, self.least_spread, wider)

    unit = staticmethod(distance_to_unit)


def _scaling(mean: Floats, scale: Floats) -> packing.Scaling:
    return packing.Scaling.of(mean, scale, noise=NOISE, constant=packing.LIMIT)
