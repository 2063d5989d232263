"""`series`: each point is a sample of one column."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.features.vectors import Extracted, Feature, bounded
from models.kernels.limits import LIMIT
from schemas.telemetry.series import SeriesTelemetry

FEATURES: Final = (Feature("value", "the metric's own", "The value of the point."),)

NAMES: Final = ("value",)


def extract_series(telemetry: SeriesTelemetry) -> Extracted:
    """One row a point, shape (points, 1), with the times of the points beside it."""
    values = np.array(telemetry.values, dtype=np.float64)
    times = np.clip(np.array(telemetry.timestamps, dtype=np.float64), -LIMIT, LIMIT)
    return Extracted(NAMES, bounded(values)[:, np.newaxis], False, len(values) == 1, times)
