"""Median and MAD of the training samples: the scale that deviation, neighbours and blend share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import _kernels_fit
from models._pack import HUGE, Scaling

Floats = NDArray[np.float64]

# Differences below this share of the median are rounding, not evidence.
NOISE = 1e-12
# Another value of a feature that never varied weighs as much as ten standard deviations.
CONSTANT = 10.0


@dataclass(frozen=True)
class Robust:
    """Training samples in robust units.

    Attributes:
        scaling: the median and 1.4826 · MAD of each feature; the root mean square deviation where
            more than half of the values are equal.
        z: the samples scaled, (n, d).
        deviations: mean of |z| capped, each sample by the median and MAD of the others, (n,).
    """

    scaling: Scaling
    z: Floats
    deviations: Floats


def robust(X: Floats, cap: float = 4.0) -> Robust:
    """Scale samples (n, d) robustly; NaN is left out of medians and stays NaN."""
    bounded = np.clip(X, -HUGE, HUGE)
    columns = np.ascontiguousarray(bounded.T)
    centre, scale = np.empty((2, X.shape[1]))
    deviations = np.empty(X.shape[0])
    _kernels_fit.robust_scales(
        columns, np.argsort(columns, axis=1), NOISE, float(cap), CONSTANT, centre, scale, deviations
    )
    scaling = Scaling.of(centre, scale, noise=NOISE, constant=CONSTANT)
    return Robust(scaling, scaling.apply(X), deviations)
