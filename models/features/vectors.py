"""What every extractor gives: named columns, one row a sample, NaN for absent evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.limits import LIMIT

Floats = NDArray[np.float64]

_HIGH = np.array(LIMIT)
_LOW = np.array(-LIMIT)


@dataclass(frozen=True)
class Feature:
    """A column of a vector."""

    name: str
    unit: str
    description: str


class Extracted(NamedTuple):
    """The samples of one telemetry record.

    Attributes:
        names: d names of columns.
        rows: shape (m, d), finite or NaN (absent evidence); m = 0 for a record without samples.
        positional: the record gave a bare array, so that names are only its places.
        evident: it is known that there is one row, and that it has a value.
        times: shape (m,), when each sample was taken, in the record's own unit; None of kinds
            whose samples have no time of their own. It is no feature.
    """

    names: tuple[str, ...]
    rows: Floats
    positional: bool = False
    evident: bool = False
    times: Floats | None = None


def bounded(values: Floats) -> Floats:
    """The same array, cut in place at ±``LIMIT``; NaN stays NaN."""
    np.maximum(values, _LOW, out=values)
    np.minimum(values, _HIGH, out=values)
    return values
