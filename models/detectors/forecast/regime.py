"""Which of the training points say something of those to come: regime, and missed anomalies."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.kernels.forecast import layout

Floats = NDArray[np.float64]

LEAD, LEAST_BEHIND, FEW_REPEATED = 15, 100, 0.1
"""See ``regime_start``."""


def regime_start(values: Floats) -> int:
    """Place of the first point of the regime that the last points belong to; 0 if there is one.

    A metric that did not vary, such as that of an idle machine, and then does is another one: by
    models of the first part all errors are gross. So the part that has most repeated values is
    left out if these outnumber the others by twice ``LEAD``, and if ``LEAST_BEHIND`` points or
    more are behind it of which a share of less than ``FEW_REPEATED`` repeat the one before.
    """
    repeated = np.diff(values, prepend=np.nan) == 0.0
    lead = np.cumsum(repeated - 0.5)
    end = int(lead.argmax()) + 1
    behind = repeated[end:]
    if lead[end - 1] < LEAD or behind.size < LEAST_BEHIND or behind.mean() >= FEW_REPEATED:
        return 0
    return end


def missed_from(errors: Floats, least_scale: float) -> float:
    """Size of the least error that is taken for an anomaly that a model missed; ∞ if none is.

    Such errors are far off, as few as those that stand alone in scoring, and as far apart from
    all smaller ones: by the tail of these the gap to them is unheard of.

    Args:
        errors: in usual ones, shape (n,); NaN is none.
        least_scale: of the tail.
    """
    down = np.sort(errors[~np.isnan(errors)])[::-1]
    n = down.size
    order, most = max(n // 4, 5), math.ceil(n * layout.OFTEN / 65536)
    if n < most + order:
        return math.inf
    first = np.arange(1, most + 1)
    total = np.cumsum(down)
    excess = (total[first + order - 1] - total[first - 1]) / order - down[first + order - 1]
    scale = np.maximum(excess, least_scale)
    gap = np.log(n + 1.0) + order * np.log1p((down[first - 1] - down[first]) / (order * scale))
    apart = (gap >= layout.UNHEARD) & (down[first - 1] > layout.FAR)
    return float(down[first[apart][-1] - 1]) if apart.any() else math.inf
