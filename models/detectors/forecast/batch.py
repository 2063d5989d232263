"""Points of many metrics judged in one call, each profile's in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration.drift import least_mean
from models.detectors.base import Floats
from models.detectors.forecast import departures
from models.detectors.forecast.departures import drift_p_values, fitting_mean
from models.detectors.forecast.detector import Forecast
from models.detectors.forecast.reasons import ForecastReason, band_of, reasons_of
from models.detectors.forecast.state import STATE_BYTES, State, from_bytes
from models.kernels.forecast import layout, points
from models.kernels.limits import LIMIT

Integers = NDArray[np.int64]


class MetricPoints(NamedTuple):
    """Points of one profile, oldest first.

    Attributes:
        model: fitted.
        state: bytes of the online state before them; None for that at the end of the training.
        times: shape (n,), in the unit of the training; None counts them one usual step apart.
        values: shape (n,), not NaN.
    """

    model: Forecast
    state: bytes | None
    times: Floats | None
    values: Floats


class Explanation(NamedTuple):
    """Why a point is abnormal.

    Attributes:
        band: (low, high) that the value was expected in at the alert budget.
        reasons: the statistics that speak against it, the largest share first.
    """

    band: tuple[float, float]
    reasons: list[ForecastReason]


def judge_in_order(groups: Sequence[MetricPoints]) -> tuple[list[bytes], Floats]:
    """The state behind the points of each profile, and what the kernel gives for every point.

    The same points from the same state give the same bits, whatever else is in the call.

    Args:
        groups: one or more.

    Returns:
        The states, and columns of all points, profile by profile, shape (points, COLUMNS).
    """
    models = [group.model for group in groups]
    blocks = np.array([model.block_.ctypes.data for model in models], dtype=np.int64)
    states = states_before(blocks, models.__getitem__, [group.state for group in groups])
    counts = np.array([group.values.size for group in groups], dtype=np.int64)
    times = [_times(group, states[at]) for at, group in enumerate(groups)]
    values = np.concatenate([np.clip(group.values, -LIMIT, LIMIT) for group in groups])
    return judge_columns(blocks, states, counts, np.concatenate(times), values)


def judge_columns(
    blocks: Integers, states: State, counts: Integers, times: Floats, values: Floats
) -> tuple[list[bytes], Floats]:
    """As ``judge_in_order``, from columns.

    Args:
        blocks: address of the packed model of each profile; whoever calls keeps it.
        states: of each, by ``states_before``; they are changed.
        counts: points of each.
        times, values: of all points, within ``LIMIT``.
    """
    out = np.empty((values.size, layout.COLUMNS))
    points.run_many(blocks, _places(states), counts, times, values, out)
    text = states.tobytes()
    return [text[at : at + STATE_BYTES] for at in range(0, len(text), STATE_BYTES)], out


def states_before(
    blocks: Integers, model: Callable[[int], Forecast], stored: Sequence[bytes | None]
) -> State:
    """Online states at the scale of their models, shape (g,).

    Args:
        blocks: address of the packed model of each profile.
        model: of one of them.
        stored: bytes of each state; None for that at the end of the training.
    """
    first = (model(g).last_state_.tobytes() if each is None else each
             for g, each in enumerate(stored))  # fmt: skip
    states = from_bytes(*first)
    for g in np.flatnonzero(points.of_other_scale(blocks, _places(states))).tolist():
        states[g : g + 1] = model(g).adopt(states[g : g + 1])
    return states


def followed_by(group: MetricPoints, columns: Floats, trained_on: int) -> Floats:
    """p-values by which the drift of a profile is followed, shape (n,).

    Args:
        columns: what the kernel gave for the points.
        trained_on: samples of the version in force.
    """
    known = getattr(group.model, "reference_", None)
    if known is None:
        # Fitted before there was one.
        return np.exp(-columns[:, layout.RARITY])
    block = group.model.block_
    blocks, references = np.array([[block.ctypes.data], [known.ctypes.data]], dtype=np.int64)
    return drift_p_values(
        blocks,
        references,
        np.array([least_mean(trained_on)]),
        np.array([fitting_mean(known, trained_on)]),
        np.array([group.values.size]),
        _own_times(group),
        group.values,
    )


def levels_of(group: MetricPoints) -> Floats:
    """Values less the season that the model has learnt, in their own unit, shape (n,)."""
    return departures.levels(group.model.block_, _own_times(group), group.values)


def usual_level(model: Forecast, share: float) -> tuple[float, float] | None:
    """Where the training points lay, their season taken out: median, and how far from it at most.

    Args:
        share: of the points that lay no farther, 0–1.

    Returns:
        None for a model that was fitted before it kept that.
    """
    known = getattr(model, "reference_", None)
    return None if known is None else departures.usual_range(known, model.block_, share)


def explain_point(model: Forecast, columns: Floats) -> Explanation:
    """Why a point is abnormal.

    Args:
        columns: what the kernel gave for it, shape (COLUMNS,).
    """
    band = band_of(columns, model.band_width())
    if not np.isfinite(band).all():
        # Behind a gap nothing is foretold.
        band = float(model.typical_[0, 0]), float(model.typical_[1, 0])
    return Explanation(band, reasons_of(columns))


def _places(states: State) -> Integers:
    return states.ctypes.data + STATE_BYTES * np.arange(len(states), dtype=np.int64)


def _own_times(group: MetricPoints) -> Floats:
    """Times of the points; without any, those that the state before them leads to."""
    if group.times is not None:
        return group.times
    blocks = np.array([group.model.block_.ctypes.data], dtype=np.int64)
    return _times(group, states_before(blocks, lambda _: group.model, [group.state])[0])


def _times(group: MetricPoints, state: State) -> Floats:
    if group.times is not None:
        return np.asarray(group.times, dtype=np.float64)
    step = float(group.model.head[layout.STEP])
    return float(state["last_time"]) + step * np.arange(1.0, group.values.size + 1.0)
