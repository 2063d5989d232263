"""Median and MAD of the training samples: the scale that deviation, neighbours and blend share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.kernels.block import HUGE, Scaling
from models.kernels.fit import scales as fit_scales

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
        columns: the samples, bounded, a row for each feature, (d, n).
    """

    scaling: Scaling
    z: Floats
    columns: Floats

    def deviations(self, cap: float) -> Floats:
        """Mean of |z| capped, each sample by the median and MAD of the others, (n,)."""
        left_out = np.empty(self.z.shape[0])
        order = np.argsort(self.columns, axis=1)
        fit_scales.leave_one_out_deviations(
            self.columns, order, NOISE, float(cap), CONSTANT, left_out
        )
        return left_out


def robust(X: Floats) -> Robust:
    """Scale samples (n, d) robustly; NaN is left out of medians and stays NaN."""
    columns = np.ascontiguousarray(np.clip(X, -HUGE, HUGE).T)
    centre, scale = np.empty((2, X.shape[1]))
    fit_scales.robust_scales(np.sort(columns, axis=1), NOISE, centre, scale)
    scaling = Scaling.of(centre, scale, noise=NOISE, constant=CONSTANT)
    return Robust(scaling, scaling.apply(X), columns)
