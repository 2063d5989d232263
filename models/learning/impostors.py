"""Synthetic impostors: samples that a candidate must not accept."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.detectors.base import Floats
from models.learning.training import FLOAT32_MAX

SYNTHETIC = 100
"""Stand-in impostors that are made from the original samples."""


AHEAD = (1.0, 2.0, 4.0)
"""How far beyond the latest samples the gate extrapolates, in units of their shift so far."""


def extrapolated_samples(original: Floats, latest: Floats) -> Floats:
    """Samples that go on where the latest have gone: moved once, twice, four times as far again."""
    latest = np.clip(latest, -FLOAT32_MAX, FLOAT32_MAX)
    move = mean_shift(original, latest)
    return np.concatenate([latest + far * move for far in AHEAD])


def mean_shift(original: Floats, latest: Floats) -> Floats:
    """How far the mean of each feature has moved, shape (d,), shrunk by what chance alone does.

    The positive-part estimator of James and Stein (1961), in standard errors.
    """
    mean, (was, spread) = moments(latest)[0], moments(original)
    move, error = mean - was, spread / max(latest.shape[0], 1) + spread / original.shape[0]
    told = error > 0.0
    if not told.any():
        return np.zeros_like(move)
    with np.errstate(over="ignore"):
        distance = float((move[told] ** 2 / error[told]).sum())
    return np.asarray(move * max(0.0, 1.0 - told.sum() / max(distance, 1e-300)))


def moments(samples: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of each feature, shape (d,) each; 0 of nothing."""
    known = ~np.isnan(samples)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, samples, 0.0).sum(axis=0) / count
    return mean, np.where(known, (samples - mean) ** 2, 0.0).sum(axis=0) / count


def synthetic(original: Floats) -> Floats:
    """Stand-in impostors, shape (100, d), the same for the same originals.

    Original samples, pushed by one to four standard deviations of each feature at random, so that
    some are near and some are far; NaN if the sample has none.
    """
    which, push = perturbations(*original.shape)
    return np.asarray(original[which] + push * np.sqrt(moments(original)[1]), dtype=np.float64)


@lru_cache(maxsize=16)
def perturbations(samples: int, width: int) -> tuple[NDArray[np.int64], Floats]:
    """Samples that are pushed, and how far each of their features, in standard deviations."""
    generator = np.random.default_rng(0)
    which = generator.integers(samples, size=SYNTHETIC)
    push = generator.normal(size=(SYNTHETIC, width))
    return which, push * generator.uniform(1.0, 4.0, size=(SYNTHETIC, 1))
