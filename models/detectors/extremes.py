"""How far the worst feature of a sample goes beyond all training samples."""

from __future__ import annotations

import numpy as np

from models.detectors.robust_scaling import Robust
from models.kernels import block_format
from models.kernels.block import ScorerPart, to_words
from models.kernels.fit import scales as fit_scales

# Within three robust deviations nothing is extreme, however few the training samples are.
LEAST_REACH = 3.0
# Excesses that differ by less, as a share of the reach, are the same.
SAME = 0.05


def extremes_part(scaled: Robust) -> ScorerPart:
    """The part of a blend that is 0 within the reach of the training samples.

    The reach of a feature is its largest |z| in training; a training sample's own excess is
    measured against the largest of the others.
    """
    samples, width = scaled.z.shape
    reach, excess = np.empty(width), np.empty(samples)
    fit_scales.extremes(scaled.z, LEAST_REACH, reach, excess)
    return ScorerPart(block_format.EXTREMES, (), to_words(1.0 / reach), -excess, SAME)
