"""How far the worst feature of a sample goes beyond all training samples."""

from __future__ import annotations

import numpy as np

from models import _kernels, _kernels_fit
from models._pack import Part, to_words
from models._robust import Robust

# Within three robust deviations nothing is extreme, however few the training samples are.
LEAST_REACH = 3.0
# Excesses that differ by less, as a share of the reach, are the same.
SAME = 0.05


def extremes_part(scaled: Robust) -> Part:
    """The part of a blend that is 0 within the reach of the training samples.

    The reach of a feature is its largest |z| in training; a training sample's own excess is
    measured against the largest of the others.
    """
    absent = np.isnan(scaled.z)
    z = np.where(absent, 0.0, np.abs(scaled.z))
    largest = np.empty((2, z.shape[1]))
    _kernels_fit.two_largest(z, largest)
    reach, without = np.maximum(largest, LEAST_REACH)
    excess = np.maximum((z / np.where(z == largest[0], without, reach) - 1.0).max(axis=1), 0.0)
    unseen = absent.all(axis=1)
    data = to_words(1.0 / reach)
    return Part(_kernels.EXTREMES, (), data, np.where(unseen, np.nan, -excess), SAME)
