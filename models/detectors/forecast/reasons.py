"""What is wrong with a point of a metric, in words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.forecast import layout

LEAST_SHARE = 0.1
"""A statistic that has less of the surprise is no reason."""


class ForecastReason(NamedTuple):
    """One statistic that speaks against a point: its name, share of the surprise, and a phrase."""

    statistic: str
    share: float
    text: str


def band_of(columns: NDArray[np.float64], width: float) -> tuple[float, float]:
    """Low and high that a point was expected in; NaN if nothing was foretold.

    Args:
        columns: what the kernel gave for the point, shape (COLUMNS,).
        width: half of the band, in usual errors.
    """
    expected, half = columns[layout.EXPECTED], width * columns[layout.DEVIATION]
    return float(expected - half), float(expected + half)


def reasons_of(columns: NDArray[np.float64]) -> list[ForecastReason]:
    """The statistics that make a point surprising, the largest share first.

    Args:
        columns: what the kernel gave for the point, shape (COLUMNS,).
    """
    shares = columns[layout.SHARES :]
    total = float(shares.sum())
    if not total > 0.0:
        return []
    order = np.argsort(-shares, kind="stable")
    return [
        ForecastReason(
            layout.STATISTICS[q],
            float(shares[q]) / total,
            _phrase(int(q), columns[layout.MEAN_BEHIND], columns[layout.EQUAL_BEHIND]),
        )
        for q in order
        if shares[q] >= LEAST_SHARE * total
    ]


def _phrase(statistic: int, mean_error: float, equal: float) -> str:
    side = "above" if mean_error > 0.0 else "below"
    return {
        layout.ERROR: "outside the band of the forecast",
        layout.MEAN_ERROR: f"for about 12 points {side} the forecast",
        layout.LEVEL: "far from its usual level",
        layout.VOLATILITY: "forecast errors larger than usual for about 30 points",
        layout.SHAPE: f"the last {layout.LAGS} points look like nothing learnt",
        layout.CYCLE: "the last period looks like nothing learnt",
        layout.FLAT: f"has not changed for {int(equal) + 1} points",
    }[statistic]
