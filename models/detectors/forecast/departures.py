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
from models.kernels.forecast import departures, layout
from models.kernels.forecast.departures import LEVELS, ROUNDING

Integers = NDArray[np.int64]


def residuals(block: NDArray[np.uint64], times: Floats, values: Floats) -> Floats:
    """Values less median and season, in the scale of a packed model, shape (n,); not cut."""
    left = np.empty(values.size)
    departures.departures(block.ctypes.data, times, values, left)
    return left


def levels(block: NDArray[np.uint64], times: Floats, values: Floats) -> Floats:
    """Values less season, in the unit of the values, shape (n,)."""
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


def reference(block: NDArray[np.uint64], times: Floats, values: Floats) -> Floats:
    """What training points leave to rank others by, shape (``LEVELS`` + 1,).

    Ascending quantiles of their distances, and last how many independent points each stands for,
    above 0 to 1.
    """
    left = np.clip(residuals(block, times, values), -layout.LIMIT_Z, layout.LIMIT_Z)
    quantiles = np.quantile(np.abs(left), (np.arange(LEVELS) + 0.5) / LEVELS)
    return np.append(quantiles, worth(left[:, None]))


def check_reference(known: object) -> None:
    """See that the kernel can read a reference within its bounds.

    Raises:
        ValueError: it is none.
    """
    if (
        not isinstance(known, np.ndarray)
        or (known.dtype, known.shape) != (np.float64, (LEVELS + 1,))
        or not known.flags.c_contiguous
        or not 0.0 < known[-1] <= 1.0
    ):
        raise ValueError(f"reference_: expected {LEVELS + 1} float64, the last above 0 to 1")


def fitting_mean(known: Floats, trained_on: int) -> float:
    """Least mean of the p-values of independent points that still fits a model.

    Args:
        known: what ``reference`` gave.
        trained_on: samples of the version in force.
    """
    return least_mean(max(1, round(float(known[-1]) * trained_on)))


def drift_p_values(
    blocks: Integers,
    references: Integers,
    means: Floats,
    fits: Floats,
    counts: Integers,
    times: Floats,
    values: Floats,
) -> Floats:
    """p-values to follow drift by, in (0, 1), profile by profile, shape (n,).

    Mid-ranks, so that equal values are uniform on average, too. Where neighbours in time resemble
    one another each p-value lies nearer to the mean at which no capital is won or lost: the stake
    of a point is its share of an independent one, and the training points were so many fewer.

    Args:
        blocks, references: address of the packed model and of what ``reference`` gave, of each
            profile.
        means: ``least_mean`` of the version in force of each.
        fits: ``fitting_mean`` of each.
        counts: points of each.
    """
    found = np.empty(values.size)
    departures.rank_departures(blocks, references, means, fits, counts, times, values, found)
    return found
