"""The kernels that rank how far points are from what their model has learnt."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.forecast.layout import HEAD, LIMIT_Z, MEDIAN, PERIOD, SCALE, SEASON_AT
from models.kernels.forecast.points import season_at
from models.kernels.memory import doubles_at

LEVELS = 64
"""Quantiles that are kept of the training points' distances."""

ROUNDING = 1e-9
"""Distances below this, in the scale of the model, are none."""

BEYOND = 2.0
"""A point so many times as far away as any that was learnt counts whole."""


@njit(nogil=True, cache=True, error_model="numpy")
def _departure(model, model_at, time, value):
    z = (value - model[MEDIAN]) / model[SCALE]
    if model[PERIOD] > 0.0:
        z -= season_at(model, model_at + SEASON_AT, time)
    return z


@njit(nogil=True, cache=True, error_model="numpy")
def departures(model_at, stamps, values, out):
    """Values less median and season, in the scale of the model at ``model_at``, into ``out``."""
    model = doubles_at(model_at, HEAD)
    for at in range(values.size):
        out[at] = _departure(model, model_at, stamps[at], values[at])


@njit(nogil=True, cache=True, error_model="numpy")
def rank_departures(models_at, references_at, means, fits, counts, stamps, values, out):
    """p-values of ``counts[g]`` points each of several profiles, one after another, into ``out``.

    Args:
        references_at: address of each profile's ``reference_``: quantiles, and last how many
            independent points each stands for.
        means: mean at which no capital is won or lost, of each profile.
        fits: least mean of p-values that still fits, of as many samples as are independent.
    """
    begin = 0
    for g in range(counts.size):
        model, known = doubles_at(models_at[g], HEAD), doubles_at(references_at[g], LEVELS + 1)
        quantiles, worth = known[:LEVELS], known[LEVELS]
        top = max(quantiles[LEVELS - 1], ROUNDING)
        for at in range(begin, begin + counts[g]):
            far = min(abs(_departure(model, models_at[g], stamps[at], values[at])), LIMIT_Z)
            below = np.searchsorted(quantiles, far) + np.searchsorted(quantiles, far, "right")
            p_value = (LEVELS + 0.5 - 0.5 * below) / (LEVELS + 1.0)
            beyond = min(max((far / top - 1.0) / (BEYOND - 1.0), 0.0), 1.0)
            out[at] = means[g] + (worth + (1.0 - worth) * beyond) * (p_value - fits[g])
        begin += counts[g]
