"""`series`: each point is a sample of one column."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.features.vectors import Extracted, Feature, bounded
from schemas.telemetry.series import SeriesTelemetry

FEATURES: Final = (Feature("value", "the metric's own", "The value of the point."),)

_NAMES: Final = ("value",)


def extract_series(telemetry: SeriesTelemetry) -> Extracted:
    """One row a point, shape (points, 1)."""
    values = np.array(telemetry.values, dtype=np.float64)
    return Extracted(_NAMES, bounded(values)[:, np.newaxis])
