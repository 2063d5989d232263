"""`series`: each point is a sample of one column."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.features.extracted import Extracted, Feature, bounded
from schemas.series import SeriesTelemetry

FEATURES: Final = (Feature("value", "the metric's own", "The value of the point."),)

_NAMES: Final = ("value",)


def extract(telemetry: SeriesTelemetry) -> Extracted:
    """One row a point, shape (points, 1)."""
    values = np.array(telemetry.values, dtype=np.float64)
    return Extracted(_NAMES, bounded(values)[:, np.newaxis])
