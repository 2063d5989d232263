"""Data quality of training samples: features that never vary, and those that only grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def constant_features(samples: NDArray[np.floating], names: Sequence[str]) -> list[str]:
    """Names of the features with one value, or none, in all samples.

    Args:
        samples: shape (n, d), NaN if a value is absent; n ≥ 1.
        names: of the d columns.
    """
    varies = np.fmax.reduce(samples, axis=0) > np.fmin.reduce(samples, axis=0)
    return [name for name, does in zip(names, varies.tolist(), strict=True) if not does]


COUNTER_SAMPLES = 20
"""Fewer samples than these may grow by chance."""

COUNTER_RESETS = 0.02
"""Share of the steps of a counter that may go down, at most, and one always: it was set back."""


def growing_features(samples: NDArray[np.floating], names: Sequence[str]) -> list[str]:
    """Names of the features that only grow but for resets: totals, not measurements.

    Args:
        samples: shape (n, d) in the order of time, NaN if a value is absent.
        names: of the d columns.
    """
    found = []
    for name, column in zip(names, np.asarray(samples, dtype=np.float64).T, strict=True):
        steps = np.diff(column[~np.isnan(column)])
        if steps.size + 1 < COUNTER_SAMPLES:
            continue
        down = int((steps < 0).sum())
        if down <= max(1.0, COUNTER_RESETS * steps.size) and 2 * (steps > 0).sum() > steps.size:
            found.append(name)
    return found
