"""Compile the kernels before the first record needs them; numba keeps the result on disk."""

from __future__ import annotations

import numpy as np

from models.features import KINDS
from models.training import train
from processor.settings import Settings

SAMPLES = 16
FEATURES = 3


def warm_up(settings: Settings) -> None:
    """Train, score and explain a few random samples with every detector that is in use.

    About 15 s on a machine that never did it, a moment where numba's cache has the kernels.
    """
    samples = np.random.default_rng(0).normal(size=(SAMPLES, FEATURES))
    samples[0, 0] = np.nan
    names = tuple(map(str, range(FEATURES)))
    for detector in {settings.detector_for(name, kind.detector) for name, kind in KINDS.items()}:
        model = train(detector, samples, names, alert_budget=0.01, seed=0, provenance={})
        model.detector.score_samples(samples)
        model.detector.contributions(samples)
