"""Points of many metrics judged in one call, each profile's in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.detectors.base import Floats
from models.detectors.forecast import departures
from models.detectors.forecast.departures import drift_p_values
from models.detectors.forecast.detector import Forecast
from models.detectors.forecast.reasons import ForecastReason, reasons_of
from models.detectors.forecast.state import State, from_bytes, to_bytes
from models.kernels.forecast import layout, points
from models.kernels.limits import LIMIT


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
    states = np.concatenate([state_of(group) for group in groups])
    counts = np.array([group.values.size for group in groups], dtype=np.int64)
    stamps = [_stamps(group, states[at]) for at, group in enumerate(groups)]
    values = np.concatenate([np.clip(group.values, -LIMIT, LIMIT) for group in groups])
    out = np.empty((values.size, layout.COLUMNS))
    # The kernel has addresses: models and states are held here meanwhile.
    blocks = np.array([group.model.block_.ctypes.data for group in groups], dtype=np.int64)
    places = states.ctypes.data + states.itemsize * np.arange(len(groups), dtype=np.int64)
    points.run_many(blocks, places, counts, np.concatenate(stamps), values, out)
    return [to_bytes(states[at : at + 1]) for at in range(len(groups))], out


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
    stamps = _own_stamps(group)
    return drift_p_values(known, group.model.block_, stamps, group.values, trained_on)


def levels_of(group: MetricPoints) -> Floats:
    """Values less the season that the model has learnt, in their own unit, shape (n,)."""
    return departures.levels(group.model.block_, _own_stamps(group), group.values)


def usual_level(model: Forecast, share: float) -> tuple[float, float] | None:
    """Where the training points lay, their season taken out: median, and how far from it at most.

    Args:
        share: of the points that lay no farther, 0–1.

    Returns:
        None for a model that was fitted before it kept that.
    """
    known = getattr(model, "reference_", None)
    return None if known is None else departures.usual_range(known, model.block_, share)


def explain_last(group: MetricPoints) -> Explanation:
    """Why the last of some points is abnormal."""
    model, ((stored,), columns) = group.model, judge_in_order([group])
    behind, last = from_bytes(stored)[0], columns[-1]
    expected, half = last[layout.EXPECTED], model.band_width() * last[layout.DEVIATION]
    band = float(expected - half), float(expected + half)
    if not np.isfinite(band).all():
        # Behind a gap nothing is foretold.
        band = float(model.typical_[0, 0]), float(model.typical_[1, 0])
    return Explanation(band, reasons_of(last, float(behind["mean_error"]), float(behind["equal"])))


def state_of(group: MetricPoints) -> State:
    """The online state before the points, at the scale of the model."""
    if group.state is None:
        return group.model.first_state()
    state = from_bytes(group.state)
    head = group.model.head
    same = state["median"][0] == head[layout.MEDIAN] and state["scale"][0] == head[layout.SCALE]
    return state if same else group.model.adopt(state)


def _own_stamps(group: MetricPoints) -> Floats:
    """Times of the points; without any, those that the state before them leads to."""
    return group.times if group.times is not None else _stamps(group, state_of(group)[0])


def _stamps(group: MetricPoints, state: State) -> Floats:
    if group.times is not None:
        return np.asarray(group.times, dtype=np.float64)
    step = float(group.model.head[layout.STEP])
    return float(state["last_time"]) + step * np.arange(1.0, group.values.size + 1.0)
