"""Training of a forecast: scale, season, weights of the forecast, and calibration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detectors.forecast.regime import missed_from
from models.detectors.forecast.season import NO_SEASON, find_season, median
from models.detectors.forecast.state import State, new_state
from models.kernels.forecast import layout, points
from models.kernels.forecast.weights import robust_ridge

Floats = NDArray[np.float64]

RATE = 0.02
"""How fast the level follows."""
RIDGE = 4.0
WARM_UP, LEAST_COMPARED, WINDOWS_A_POINT = 300, 32, 13
"""Points that bring an online state up to date; the last of them, enough to look at every window
of the library, compare shapes."""
MOST_LAG = (layout.RING - 2) // (layout.LAGS - 1)
LEAST_SCALES = np.array([0.02, 0.02, 1e-3, 0.02, 1e-3, 1e-3, 0.2])
"""Least scale of the tail of each statistic."""


@dataclass(frozen=True)
class Options:
    """What is learnt: windows of the past (``shapes``), a season, and how many last values.

    ``unseen``: share of normal that models rejected, so that it is not among the points.
    """

    shapes: bool = True
    seasonal: bool = True
    library: int = 2000
    second: float = 0.0
    unseen: float = 0.0


class Fitted(NamedTuple):
    """Parts of a model: ``head`` as in ``layout``, season table, library, its clear places."""

    head: Floats
    table: Floats
    library: NDArray[np.float16]
    clear: NDArray[np.bool_]

    def packed(self, knots: Floats, tails: Floats) -> NDArray[np.uint64]:
        """The model as one block of 8-byte words, with tails (7, 4) and knots (7, 40)."""
        parts = (
            self.head,
            tails.astype(np.float32),
            knots.astype(np.float32),
            self.table.astype(np.float16),
            self.library,
            np.packbits(self.clear, bitorder="little"),
        )
        content = b"".join(part.tobytes() for part in parts)
        return np.frombuffer(content + bytes(-len(content) % 8), np.uint64).copy()


def check_packed(block: NDArray[np.uint64]) -> None:
    """See that a packed model holds what its head says.

    Raises:
        ValueError: it does not.
    """
    whole = block.dtype == np.uint64 and block.ndim == 1 and block.nbytes >= layout.SEASON_AT
    head = block[: layout.HEAD].view(np.float64) if whole else np.zeros(layout.HEAD)
    buckets, lag, size = (float(head[at]) for at in (layout.BUCKETS, layout.LAG, layout.LIBRARY))
    counts = all(count.is_integer() and 0 <= count < 2**31 for count in (buckets, lag, size))
    content = layout.SEASON_AT + 2 * buckets + 2 * size + (size + 7) // 8
    if (
        not counts
        or not 1 <= lag <= MOST_LAG
        or block.nbytes != (content + 7) // 8 * 8
        or (head[layout.PERIOD] > 0.0) != (buckets > 0)
    ):
        raise ValueError(f"a packed forecast of {block.nbytes} bytes does not fit its head")


UNCALIBRATED = np.zeros((layout.COUNT, layout.KNOTS)), np.zeros((layout.COUNT, 4))


def train_forecast(
    values: Floats, times: Floats, options: Options
) -> tuple[NDArray[np.uint64], State]:
    """A calibrated model of the points, oldest first, and the state at their end.

    Models of the first quarter and of the first half score what follows them: the calibration is
    out of sample, in time.
    """
    n = values.size
    judged = []
    for learnt in sorted({max(n // 4, 12), max(n // 2, 12)}):
        if learnt >= n - 4:
            continue
        end = n // 2 if learnt < n // 2 else n
        model = fit_series(values[:learnt], times[:learnt], options)
        first = max(0, learnt - WARM_UP)
        out, _ = statistics(model, values[first:end], times[first:end], learnt - first)
        found = out[learnt - first :, layout.VALUES : layout.SHARES]
        # Of another regime than the points that were learnt: it says nothing of errors to come.
        found[found[:, layout.ERROR] > layout.ABSURD] = np.nan
        judged.append(found)
    found = np.concatenate(judged) if judged else np.empty((0, layout.COUNT))
    if options.unseen:
        # What a model accepted holds anomalies that it missed.
        errors = found[:, layout.ERROR]
        found[errors >= missed_from(errors, LEAST_SCALES[layout.ERROR])] = np.nan
    knots, tails = calibrated(found, options.unseen)
    final = fit_series(values, times, options)
    state = statistics(final, values[-WARM_UP:], times[-WARM_UP:], min(n, WARM_UP))[1]
    return final.packed(knots, tails), state


def statistics(
    model: Fitted, values: Floats, times: Floats, warm: int = 0, features: Floats | None = None
) -> tuple[Floats, State]:
    """What points give by a model without calibration, from a new state on; and the state then.

    Args:
        model: without calibration.
        values: shape (n,).
        times: shape (n,).
        warm: so many first points only bring the state up to date, most without shapes.
        features: out, shape (n, 8), those of each forecast.
    """
    state = new_state(model.head)
    block = model.packed(*UNCALIBRATED)
    out = np.empty((values.size, layout.COLUMNS))
    if features is None:
        features = np.empty((1, layout.WEIGHTS))
    plain = max(warm - max(LEAST_COMPARED, model.library.size // WINDOWS_A_POINT), 0)
    shapes = block[: layout.HEAD].view(np.float64)
    for first, end, compared in ((0, plain, 0.0), (plain, values.size, model.head[layout.SHAPES])):
        shapes[layout.SHAPES] = compared
        own = features[first:end] if features.shape[0] == values.size else features
        points.run_points(
            *(block.ctypes.data, state.ctypes.data),
            *(times[first:end], values[first:end], True, out[first:end], own),
        )
    return out, state


def calibrated(judged: Floats, unseen: float = 0.0) -> tuple[Floats, Floats]:
    """Knots (7, 40) and tails (7, 4) of out-of-sample statistics, shape (n, 7).

    A share ``unseen`` of others are taken to lie beyond the largest.
    """
    knots, tails = (part.copy() for part in UNCALIBRATED)
    ordered = np.sort(np.ascontiguousarray(judged.T), axis=1)
    counts = judged.shape[0] - np.isnan(ordered).sum(axis=1)
    for q, n in enumerate(counts.tolist()):
        if n < 10:
            continue
        column = ordered[q, :n]
        below, part, seen = _knot_places(n, unseen)
        knots[q] = column[below] + part * (column[np.minimum(below + 1, n - 1)] - column[below])
        order = max(n // 4, 5)
        scale = max(float(column[-order:].mean() - column[-order]), LEAST_SCALES[q])
        tails[q] = seen, order, scale, column[-1]
    return knots, tails


@lru_cache(maxsize=64)
def _knot_places(n: int, unseen: float) -> tuple[NDArray[np.int64], Floats, float]:
    """Where the knots stand among n ascending values: the place below, the part beyond it, and
    of how many values the largest is as rare as that of these.
    """
    more = unseen * n
    seen = (n + more + 1.0) / (more + 1.0) - 1.0
    rank = np.exp(-np.linspace(0.0, np.log(seen + 1.0), layout.KNOTS)) * (n + more + 1.0) - more
    place = np.clip(n - rank, 0.0, n - 1.0)
    below = place.astype(np.int64)
    return below, place - below, seen


def fit_series(values: Floats, times: Floats, options: Options) -> Fitted:
    """A model of the points without calibration."""
    n = values.size
    centre, scale = _scale(values)
    z = np.clip((values - centre) / scale, -layout.LIMIT_Z, layout.LIMIT_Z)
    step = median(np.diff(times)) if n > 1 else 1.0
    season = find_season(z, times, step, options.second) if options.seasonal else NO_SEASON
    lag = max(2, round(season.period / step / layout.LAGS)) if season.period else 4
    lag = max(1, min(lag, max(2, n // (3 * layout.LAGS)), MOST_LAG))
    kept = options.library if options.shapes else 0
    library = z[n - min(n, kept) :].astype(np.float16)
    head = np.zeros(layout.HEAD)
    head[: layout.FIRST_WEIGHT] = (
        *(centre, scale, step, season.period, season.table.size, lag),
        *(RATE, 1.0, 1e-6, season.origin),
    )
    head[layout.LIBRARY] = library.size
    clear = np.ones(library.size, dtype=np.bool_)
    clear[: (layout.LAGS - 1) * lag] = False
    for gap in np.flatnonzero(np.diff(times[n - library.size :]) > layout.GAP_STEPS * step):
        clear[gap + 1 : gap + 1 + (layout.LAGS - 1) * lag] = False
    model = Fitted(head, season.table, library, clear)
    features = np.empty((n, layout.WEIGHTS))
    statistics(model, values, times, features=features)
    if season.period:
        _season_features(features, z, season.table, season.others, times, head)
    known = ~np.isnan(features[:, 0])
    known[0] = False
    features[:, layout.WEIGHTS - 1] = 0.0
    if options.shapes:
        analogs = _analogs(model, values, times)
        if analogs is not None:
            features[n - analogs.size :, -1] = analogs
            known[: n - analogs.size] = False
            head[layout.SHAPES] = 1.0
    target = np.zeros(n)
    target[1:] = z[1:] - z[:-1]
    weights, errors = _weights(features[known], target[known])
    head[layout.FIRST_WEIGHT : layout.SHAPES] = weights
    size = np.abs(errors if errors.size else np.diff(z) if n > 1 else np.ones(1))
    head[layout.LONG] = max(1.4826 * median(size), 0.63 * float(size.mean()), 1e-9)
    head[layout.FLOOR] = max(_least_error(z[-500:]), 1e-4, 0.2 * head[layout.LONG])
    return model


def _scale(values: Floats) -> tuple[float, float]:
    centre = median(values)
    away = values - centre
    scale = 1.4826 * median(np.abs(away))
    deviation = float(values.std())
    scale = max(scale or float(np.sqrt(np.mean(away**2))), 0.1 * deviation)
    least = 1e-9 * max(abs(centre), 1e-9)
    return centre, scale if scale > least else least


def _season_features(
    features: Floats, z: Floats, table: Floats, others: Floats, times: Floats, head: Floats
) -> None:
    """Season features by the other cycles, in place: the table itself knows the points."""
    phase = ((times - head[layout.ORIGIN]) / head[layout.PERIOD]) % 1.0 * table.size
    at_phase = table[np.minimum(phase.astype(np.int64), table.size - 1)]
    season = np.where(np.isnan(others), at_phase, others)
    features[1:, 4] = np.where(np.isnan(features[1:, 4]), np.nan, np.diff(season))
    features[1:, 5] = np.where(np.isnan(features[1:, 5]), np.nan, season[1:] - z[:-1])


def _analogs(model: Fitted, values: Floats, times: Floats) -> Floats | None:
    """What a library of the first half says of the steps of the second; None if it is too short."""
    n = values.size
    second = n - n // 2
    kept = model.library.size - second
    if second <= 40 or kept <= (layout.LAGS - 1) * model.head[layout.LAG] + 30:
        return None
    head = model.head.copy()
    head[layout.SHAPES], head[layout.LIBRARY] = 1.0, kept
    half = replace_library(model, head, kept)
    first = max(0, n - second - WARM_UP)
    features = np.empty((n - first, layout.WEIGHTS))
    statistics(half, values[first:], times[first:], n - second - first, features)
    return np.nan_to_num(features[-second:, -1])


def replace_library(model: Fitted, head: Floats, kept: int) -> Fitted:
    """The model with the first ``kept`` values of its library."""
    return model._replace(head=head, library=model.library[:kept], clear=model.clear[:kept])


def _weights(features: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Ridge weights with Huber's loss, shrunk to "as the last value"; and the errors."""
    if target.size < 20:
        weights = np.zeros(layout.WEIGHTS)
        weights[3] = 0.5
        return weights, target - features @ weights
    errors = np.empty(target.size)
    return robust_ridge(features, target, RIDGE, errors), errors


def _least_error(z: Floats) -> float:
    """A share of the usual step between values of a metric that has few: counts are not smooth."""
    values = np.unique(z)
    if values.size <= 2 or values.size >= 0.3 * z.size:
        return 0.0
    return 0.3 * min(median(np.diff(values)), 1.0)
