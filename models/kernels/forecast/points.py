"""Compiled scoring of a metric, point by point: forecast, seven statistics, their p-values."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.kernels.forecast.layout import (
    ABRUPT,
    ANALOG,
    AT_ONCE,
    BUCKETS,
    CLOCK_SET_BACK,
    CYCLE,
    DEVIATION,
    EQUAL,
    EQUAL_BEHIND,
    ERROR,
    EXPECTED,
    FAR,
    FIRST_WEIGHT,
    FLAT,
    FLOOR,
    GAP_STEPS,
    HEAD,
    KEPT,
    KNOTS_AT,
    LAG,
    LAGS,
    LAST,
    LAST_TIME,
    LATE,
    LEVEL,
    LIBRARY,
    LIMIT_Z,
    LONG,
    LONGEST_RUN,
    MEAN_BEHIND,
    MEAN_ERROR,
    MEDIAN,
    NEAR_AT,
    NEAREST,
    OFTEN,
    ORIGIN,
    PERIOD,
    POINTS,
    RATE,
    RING,
    RING_AT,
    RUN,
    RUN_AT,
    RUN_STEP,
    S_LEVEL,
    S_MEAN,
    S_MEDIAN,
    S_SCALE,
    S_VOLATILITY,
    SCALARS,
    SCALE,
    SEASON,
    SEASON_AT,
    SHAPE,
    SHAPES,
    SINCE_GAP,
    SPREAD,
    STEP,
    TAILS_AT,
    UNHEARD,
    VALUES,
    VOLATILITY,
    WEIGHTS,
)
from models.kernels.forecast.rarity import judge_rarity, nats
from models.kernels.forecast.shapes import ASKED, shapes
from models.kernels.memory import (
    address,
    doubles_at,
    load_binary16,
    singles_at,
    store_binary16,
    words16_at,
)


@njit(nogil=True, cache=True, error_model="numpy")
def season_at(model, table_at, time):
    """The season table at a time, linear between the centres of its buckets."""
    buckets = int(model[BUCKETS])
    phase = ((time - model[ORIGIN]) / model[PERIOD]) % 1.0 * buckets - 0.5
    below = math.floor(phase)
    part = phase - below
    first = int(below) % buckets
    second = (first + 1) % buckets
    return (1.0 - part) * load_binary16(table_at + 2 * first) + part * load_binary16(
        table_at + 2 * second
    )


@njit(nogil=True, cache=True, error_model="numpy", inline="always")
def _lag(ring_at, place, back):
    return float(load_binary16(ring_at + 2 * ((place - back) & (RING - 1))))


@njit(nogil=True, cache=True, error_model="numpy")
def _follow(model_at, state, state_at, error, spread):
    """Let the running means follow an error; whether it stands alone, and they did not.

    A single gross error says nothing of those to come. A run of them does: it is a new regime.
    """
    size = abs(error) / spread
    counts = words16_at(state_at + RUN_AT, 2)
    run, share = int(counts[0]), int(counts[1])
    far = size > FAR
    run = min(run + RUN_STEP, LONGEST_RUN) if far else max(run - 1, 0)
    unheard = False
    if far and run < RUN:
        tail = singles_at(model_at + TAILS_AT, 4)
        known = (tail[0], tail[1], tail[2], tail[3])
        unheard = nats(size, known, model_at + KNOTS_AT) >= UNHEARD
    alone = unheard and share < OFTEN
    share -= (share + 255) >> 8
    counts[0] = np.uint16(run)
    counts[1] = np.uint16(min(share + 256, 65535) if unheard else share)
    if alone:
        return True
    if size > ABRUPT and run >= RUN:
        state[SPREAD] += AT_ONCE * (1.2533141373 * abs(error) - state[SPREAD])
    else:
        state[SPREAD] += 0.05 * (1.2533141373 * min(abs(error), 4.0 * spread) - state[SPREAD])
    u = min(max(error / spread, -6.0), 6.0)
    state[S_MEAN] += (u - state[S_MEAN]) / 12.0
    state[S_VOLATILITY] += (abs(u) - state[S_VOLATILITY]) / 32.0
    return False


@njit(nogil=True, cache=True, error_model="numpy")
def _observe(model, model_at, state, state_at, time, value, asked_at, out, features):
    """The statistics of a point, into ``out``; the state goes on. ``features``: of its forecast.

    Whether the point is to be counted among the recent ones: late and gross ones are not.
    """
    ring_at, table_at = state_at + RING_AT, model_at + SEASON_AT
    z = min(max((value - model[MEDIAN]) / model[SCALE], -LIMIT_Z), LIMIT_Z)
    new = state[POINTS] == 0.0
    if not new and time <= state[LAST_TIME] and state[LATE] < CLOCK_SET_BACK:
        # Late or repeated: only its level says something, and the forecast goes on without it.
        state[LATE] += 1.0
        out[VALUES + LEVEL] = abs(z - state[S_LEVEL])
        return False
    if not new and not 0.0 < time - state[LAST_TIME] <= GAP_STEPS * model[STEP]:
        state[SINCE_GAP] = 0.0
        near = words16_at(state_at + NEAR_AT, NEAREST)
        near[:] = 0
    state[LATE] = 0.0
    place = int(state[POINTS]) & (RING - 1)
    season = season_at(model, table_at, time) if model[PERIOD] > 0.0 else np.nan
    alone, kept = False, z
    if state[SINCE_GAP] >= 9.0:
        before = _lag(ring_at, place, 1)
        mean = 0.0
        for back in range(1, 9):
            mean += _lag(ring_at, place, back)
        features[0] = _lag(ring_at, place, 2) - before
        features[1] = _lag(ring_at, place, 3) - before
        features[2] = mean / 8.0 - before
        features[3] = state[S_LEVEL] - before
        features[4], features[5] = 0.0, features[3]
        if model[PERIOD] > 0.0:
            features[4] = season - state[SEASON] if state[SEASON] == state[SEASON] else 0.0
            features[5] = season - before
        features[6], features[7] = -before, state[ANALOG]
        expected = before
        for k in range(WEIGHTS):
            expected += model[FIRST_WEIGHT + k] * features[k]
        error = z - expected
        spread = math.sqrt(0.5 * (model[LONG] * model[LONG] + state[SPREAD] * state[SPREAD]))
        spread = max(spread, model[FLOOR])
        out[EXPECTED] = model[MEDIAN] + model[SCALE] * expected
        out[DEVIATION] = model[SCALE] * spread
        out[VALUES + ERROR] = abs(error) / spread
        alone = _follow(model_at, state, state_at, error, spread)
        if alone:
            # What is forecast from it next would be as wrong.
            kept = expected + min(max(error, -KEPT * spread), KEPT * spread)
        out[VALUES + MEAN_ERROR] = abs(state[S_MEAN])
        out[VALUES + VOLATILITY] = state[S_VOLATILITY]
    if new:
        state[S_LEVEL] = z
    out[VALUES + LEVEL] = abs(z - state[S_LEVEL])
    state[S_LEVEL] += model[RATE] * min(max(kept - state[S_LEVEL], -3.0), 3.0)
    state[EQUAL] = state[EQUAL] + 1.0 if state[SINCE_GAP] > 0.0 and value == state[LAST] else 0.0
    out[VALUES + FLAT] = math.log1p(min(max(state[EQUAL] - 3.0, 0.0), 60.0))
    store_binary16(ring_at + 2 * place, np.float32(kept))
    state[LAST], state[LAST_TIME], state[SEASON] = value, time, season
    state[SINCE_GAP] += 1.0
    state[POINTS] += 1.0
    state[ANALOG] = 0.0
    window = (LAGS - 1) * model[LAG]
    if model[SHAPES] > 0.0 and model[LIBRARY] - 1.0 > window and state[SINCE_GAP] > window:
        library_at = table_at + 2 * int(model[BUCKETS])
        near, far, step = shapes(model, library_at, state, state_at, place, asked_at)
        out[VALUES + SHAPE], out[VALUES + CYCLE], state[ANALOG] = near, far, step
    return not alone


@njit(nogil=True, cache=True, error_model="numpy")
def run_points(model_at, state_at, stamps, values, calibrating, out, features):
    """Points in their order: fills ``out``, shape (n, COLUMNS), and takes the state along.

    Args:
        model_at: address of a model.
        state_at: address of the state, which is changed.
        stamps: times, shape (n,), in the unit that the model was trained in.
        values: shape (n,); NaN is no point.
        calibrating: only the statistics are wanted, no p-values.
        out: shape (n, COLUMNS), NaN where there is nothing.
        features: shape (n, WEIGHTS), of the forecast of each point, or (1, WEIGHTS) as scratch.
    """
    model, state = doubles_at(model_at, HEAD), doubles_at(state_at, SCALARS)
    asked = np.empty(ASKED, dtype=np.float32)
    each = features.shape[0] == values.size
    out[:] = np.nan
    features[:] = np.nan
    for at in range(values.size):
        value, time = values[at], stamps[at]
        if value != value:
            continue
        counted = _observe(
            model,
            model_at,
            state,
            state_at,
            time,
            value,
            address(asked),
            out[at],
            features[at if each else 0],
        )
        if not calibrating:
            judge_rarity(model_at, state, state_at, counted, out[at])
        out[at, MEAN_BEHIND], out[at, EQUAL_BEHIND] = state[S_MEAN], state[EQUAL]
    # Held until here: only its address was passed on.
    asked[0] = 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def of_other_scale(models_at, states_at):
    """Which states do not have median and scale of their models, (g,)."""
    found = np.empty(models_at.size, dtype=np.bool_)
    for g in range(models_at.size):
        model, state = doubles_at(models_at[g], HEAD), doubles_at(states_at[g], SCALARS)
        found[g] = state[S_MEDIAN] != model[MEDIAN] or state[S_SCALE] != model[SCALE]
    return found


@njit(nogil=True, cache=True, error_model="numpy")
def run_many(models_at, states_at, counts, stamps, values, out):
    """The same for ``counts[g]`` points each of several profiles, one after another."""
    begin = 0
    scratch = np.empty((1, WEIGHTS))
    for g in range(counts.size):
        end = begin + counts[g]
        run_points(
            models_at[g],
            states_at[g],
            stamps[begin:end],
            values[begin:end],
            False,
            out[begin:end],
            scratch,
        )
        begin = end
