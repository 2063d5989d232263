"""Times of points: the unit that integers are in, guessed from their size."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNITS: Final = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
"""Name of a unit → how many of it a second has."""

_FIRST, _END = 1e8, 1e11
"""Seconds since 1970, of 1973 and of the year 5138: no two units have a number in common."""


def unit_of(times: Floats) -> str | None:
    """The unit in which all times lie between 1973 and 5138; None if there is no such unit.

    ``None`` are numbers that count from elsewhere, such as the index of a point: of these no day
    and no week is known.
    """
    if not times.size:
        return None
    for unit, second in UNITS.items():
        if times.min() >= _FIRST * second and times.max() < _END * second:
            return unit
    return None
