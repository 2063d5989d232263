"""p-values for the test of drift: how far a metric is from all that its model has learnt.

The p-values of a forecast follow the metric, so that a lasting new level is soon as normal as any.
Here nothing is followed: the distance of a value from the median and the season of the training
points, ranked among theirs. Of a metric that stays as it was these p-values are uniform, and they
stay low as long as it does not come back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.calibration.drift import least_mean
from models.calibration.evidence import worth
from models.detectors.base import Floats
from models.kernels.forecast import layout

LEVELS = 64
"""Quantiles that are kept of the training points' distances."""


ROUNDING = 1e-9
"""Distances below this, in the scale of the model, are none."""

BEYOND = 2.0
"""See ``drift_p_values``."""


def residuals(block: NDArray[np.uint64], times: Floats, values: Floats) -> Floats:
    """Values less median and season, in the scale of a packed model, shape (n,)."""
    head = block[: layout.HEAD].view(np.float64)
    z = (values - head[layout.MEDIAN]) / head[layout.SCALE]
    buckets = int(head[layout.BUCKETS])
    if buckets:
        table = block.view(np.uint8)[layout.SEASON_AT :][: 2 * buckets].view(np.float16)
        phase = ((times - head[layout.ORIGIN]) / head[layout.PERIOD]) % 1.0 * buckets - 0.5
        around = np.concatenate([table[-1:], table, table[:1]]).astype(np.float64)
        z = z - np.interp(phase, np.arange(-1.0, buckets + 1.0), around)
    return np.asarray(np.clip(z, -layout.LIMIT_Z, layout.LIMIT_Z), dtype=np.float64)


def reference(block: NDArray[np.uint64], times: Floats, values: Floats) -> Floats:
    """What training points leave to rank others by, shape (``LEVELS`` + 1,).

    Ascending quantiles of their distances, and last how many independent points each stands for,
    above 0 to 1.
    """
    left = residuals(block, times, values)
    quantiles = np.quantile(np.abs(left), (np.arange(LEVELS) + 0.5) / LEVELS)
    return np.append(quantiles, worth(left[:, None]))


def drift_p_values(
    known: Floats, block: NDArray[np.uint64], times: Floats, values: Floats, trained_on: int
) -> Floats:
    """p-values to follow drift by, in (0, 1), shape (n,).

    Mid-ranks, so that equal values are uniform on average, too. Where neighbours in time resemble
    one another each p-value lies nearer to the mean at which no capital is won or lost: the stake
    of a point is its share of an independent one, and the training points were so many fewer.

    Args:
        known: what ``reference`` gave.
        trained_on: samples of the version in force.
    """
    quantiles, share = known[:-1], known[-1]
    far = np.abs(residuals(block, times, values))
    below = np.searchsorted(quantiles, far) + np.searchsorted(quantiles, far, side="right")
    p_values = (LEVELS + 0.5 - 0.5 * below) / (LEVELS + 1.0)
    fits = least_mean(max(1, round(float(share) * trained_on)))
    top = max(float(quantiles[-1]), ROUNDING)
    share = share + (1.0 - share) * np.clip((far / top - 1.0) / (BEYOND - 1.0), 0.0, 1.0)
    return np.asarray(least_mean(trained_on) + share * (p_values - fits), dtype=np.float64)


def levels(block: NDArray[np.uint64], times: Floats, values: Floats) -> Floats:
    """Values less season, in the unit of the values, shape (n,); cut at ``LIMIT_Z`` deviations."""
    head = block[: layout.HEAD].view(np.float64)
    left = residuals(block, times, values)
    return np.asarray(head[layout.MEDIAN] + head[layout.SCALE] * left, dtype=np.float64)


def usual_range(known: Floats, block: NDArray[np.uint64], share: float) -> tuple[float, float]:
    """Median of the training points, season taken out, and how far from it a share of them is.

    Args:
        known: what ``reference`` gave.
        share: 0–1.
    """
    head = block[: layout.HEAD].view(np.float64)
    places = (np.arange(LEVELS) + 0.5) / LEVELS
    far = max(float(np.interp(share, places, known[:-1])), ROUNDING)
    return float(head[layout.MEDIAN]), float(head[layout.SCALE]) * far
