"""Compiled comparison of a metric's last values with those of its past, at two lags."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import numpy as np
from numba import njit

from models.kernels.forecast.layout import (
    DISTANCE_AT,
    LAG,
    LAGS,
    LIBRARY,
    NEAR_AT,
    NEAREST,
    PROBE,
    PROBES,
    RING,
    RING_AT,
)
from models.kernels.memory import load_binary16, load_byte, singles_at, words16_at
from models.kernels.simd import (
    abs_diff,
    add,
    first,
    load,
    rotate_8,
    splat,
    strided_binary16s,
    turn_1,
    turn_2,
    turn_4,
)

_NO_WINDOW = np.float32(3e38)
_PER_LAG = np.float32(1.0 / LAGS)
ASKED = 2 * LAGS
"""Room, in float32, for what is compared."""
_window = strided_binary16s(LAGS)
"""As many as there are lanes."""


@njit(nogil=True, cache=True, error_model="numpy")
def _centred_lags(ring_at, place, lag, asked_at):
    """The last values ``lag`` apart, less their mean, as float32 at an address."""
    asked = singles_at(asked_at, LAGS)
    mean = np.float32(0.0)
    for k in range(LAGS):
        asked[k] = load_binary16(ring_at + 2 * ((place - k * lag) & (RING - 1)))
        mean += asked[k]
    mean /= np.float32(LAGS)
    for k in range(LAGS):
        asked[k] -= mean


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _sum(values):
    values = add(values, rotate_8(values))
    values = add(values, turn_4(values))
    values = add(values, turn_2(values))
    return add(values, turn_1(values))


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _distance(asked_at, library_at, end, lag):
    """Mean absolute difference to the library's values that end at one, less their mean."""
    held = _window(library_at + 2 * end, -2 * lag)
    mean = splat(first(_sum(held)) * _PER_LAG)
    return first(_sum(abs_diff(add(load(asked_at), mean), held))) * _PER_LAG


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _clear(bits_at, end):
    return (load_byte(bits_at + (end >> 3)) >> (end & 7)) & 1 > 0


@njit(nogil=True, cache=True, error_model="numpy")
def shapes(model, library_at, state, state_at, place, asked_at):
    """Mean distance to the three nearest windows at lag 1 and at the model's; their next step."""
    size, lag = int(model[LIBRARY]), int(model[LAG])
    bits_at = library_at + 2 * size
    shortest = (LAGS - 1) * lag
    span = size - 1 - shortest
    near, held = (
        words16_at(state_at + NEAR_AT, NEAREST),
        singles_at(state_at + DISTANCE_AT, NEAREST),
    )
    short_at = asked_at + 4 * LAGS
    _centred_lags(state_at + RING_AT, place, lag, asked_at)
    _centred_lags(state_at + RING_AT, place, 1, short_at)
    a1, a2, a3 = _NO_WINDOW, _NO_WINDOW, _NO_WINDOW
    b1, b2, b3 = _NO_WINDOW, _NO_WINDOW, _NO_WINDOW
    k1, k2, k3, worst = -1, -1, -1, 0
    probe, stride = min(int(state[PROBE]), span - 1), int(span * 0.6180339887) + 1
    for candidate in range(NEAREST + PROBES):
        if candidate < NEAREST:
            end = int(near[candidate])
            if end == 0 or end >= size - 1 or not _clear(bits_at, end):
                near[candidate], held[candidate], worst = np.uint16(0), _NO_WINDOW, candidate
                continue
            near[candidate] = np.uint16(end + 1)
        else:
            probe += stride
            probe -= span if probe >= span else 0
            end = shortest + probe
            if not _clear(bits_at, end):
                continue
            # Within 1 of an alignment; unsigned, so what is less than it is far more.
            known = 0
            for other in range(NEAREST):
                known |= int(np.uint16(near[other] - end) <= 2)
            if known:
                continue
        d = _distance(asked_at, library_at, end, lag)
        if d < b1:
            b1, b2, b3, k1, k2, k3 = d, b1, b2, end, k1, k2
        elif d < b2:
            b2, b3, k2, k3 = d, b2, end, k2
        elif d < b3:
            b3, k3 = d, end
        g = _distance(short_at, library_at, end, 1) if lag > 1 else d
        a1, g = min(a1, g), max(a1, g)
        a2, g = min(a2, g), max(a2, g)
        a3 = min(a3, g)
        if candidate < NEAREST:
            if held[candidate] < _NO_WINDOW:
                d = held[candidate] + np.float32(0.15) * (d - held[candidate])
            held[candidate] = d
            if d > held[worst]:
                worst = candidate
        elif d < held[worst]:
            near[worst], held[worst] = np.uint16(end + 1), d
            for other in range(NEAREST):
                if held[other] > held[worst]:
                    worst = other
    state[PROBE] = probe
    if k3 < 0:
        return np.nan, np.nan, 0.0
    step = 0.0
    for k in (k1, k2, k3):
        step += load_binary16(library_at + 2 * k + 2) - load_binary16(library_at + 2 * k)
    return (a1 + a2 + a3) / 3.0, (b1 + b2 + b3) / 3.0, step / 3.0
