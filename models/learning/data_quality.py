"""Data quality of training samples: features that tell nothing, as they never vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def constant_features(samples: NDArray[np.floating], names: Sequence[str]) -> list[str]:
    """Names of the features with one value, or none, in all samples.

    Args:
        samples: shape (n, d), NaN where a value is absent; n ≥ 1.
        names: of the d columns.
    """
    varies = np.fmax.reduce(samples, axis=0) > np.fmin.reduce(samples, axis=0)
    return [name for name, does in zip(names, varies.tolist(), strict=True) if not does]
