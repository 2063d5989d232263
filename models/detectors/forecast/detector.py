"""The estimator ``Forecast``: how far a metric is from what its own past foretells."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from models.detectors.base import Floats, distance_to_unit, typical_ranges
from models.detectors.forecast.departures import check_reference, reference
from models.detectors.forecast.reasons import ForecastReason, band_of, reasons_of
from models.detectors.forecast.regime import regime_start
from models.detectors.forecast.state import State, from_bytes, moved
from models.detectors.forecast.times import UNITS, unit_of
from models.detectors.forecast.training import Options, check_packed, train_forecast
from models.kernels.forecast import layout, points
from models.kernels.limits import LIMIT

OF_ONE_STATISTIC = 0.7
"""Of the normal points that were anomalies, how many were so by any one statistic."""


class Points(NamedTuple):
    """What points give, one entry each, and the state behind them; NaN for a missing value.

    Attributes:
        state: behind the last point.
        scores: ln p by the calibration alone: how far from what was learnt. At least −40.
        p_values: the same among the recent ones: a new regime soon is as normal as it is usual.
        expected: the forecast value; NaN if nothing can be foretold, such as behind a gap.
        deviation: the usual error of the forecast now, in units of the value.
        columns: all that the kernel gave, shape (n, COLUMNS).
    """

    state: State
    scores: Floats
    p_values: Floats
    expected: Floats
    deviation: Floats
    columns: Floats


class Update(NamedTuple):
    """One point judged: the state behind it, and its verdict.

    Attributes:
        state: the state behind the point.
        score: ln p by the calibration alone.
        p: p-value among the recent points.
        band: (low, high) that the value was expected in at the alert budget; NaN if unknown.
        reasons: why it is an anomaly, the largest share first; empty if it is none.
    """

    state: State
    score: float
    p: float
    band: tuple[float, float]
    reasons: list[ForecastReason]


class Forecast(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """One-step forecast of a single metric, and seven statistics of what it does not explain.

    Points are judged in their order, each with the online state that those before it left. A state
    is a plain value: ``judge`` and ``update`` leave the one that they are given as it is, so the
    same points from the same state give the same bits.

    A point that is not later than the one before it (late, or repeated) is judged by its level
    only and leaves forecast and calibration as they are; after 20 of these in a row the clock is
    taken to be set back. Behind a gap of more than 3.5 usual steps the forecast restarts.

    Args:
        alert_budget: share of normal points that may be called anomalous, 0–1.
        shapes: compare windows of 16 points with those of the past; without, a point takes a
            third of the time, and odd shapes within the usual range go unseen.
        seasonal: follow a period, by day, week or autocorrelation.
        library: how many of the last training values are kept for ``shapes``.

    Learnt attributes:
        block_: the packed model, an array of 8-byte words.
        last_state_: bytes of the online state behind the last training point.
        unit_: unit of the times, empty if it is not known.
        offset_: ln of ``alert_budget``.
        typical_: shape (2, 1), the 5 % and 95 % quantiles of the training values.

    Example:
        >>> wave = np.sin(np.arange(505) / 5.0)[:, None]
        >>> model = Forecast().fit(wave[:500])
        >>> model.predict(wave[500:]).tolist()
        [1, 1, 1, 1, 1]
        >>> update = model.update(model.first_state(), 500.0, 3.0)
        >>> update.p < 0.01, update.reasons[0].text
        (True, 'outside the band of the forecast')
    """

    def __init__(
        self,
        alert_budget: float = 0.01,
        shapes: bool = True,
        seasonal: bool = True,
        library: int = 2000,
    ) -> None:
        self.alert_budget = alert_budget
        self.shapes = shapes
        self.seasonal = seasonal
        self.library = library

    def fit(
        self, X: ArrayLike, y: Any = None, *, times: ArrayLike | None = None, accepted: float = 0.0
    ) -> Self:
        """Learn from points of normal, those of another regime left out (``regime_start``).

        Args:
            X: values, shape (n, 1), oldest first; NaN is no point.
            y: not used.
            times: shape (n,), ascending, in any one unit; by default the points' places.
            accepted: share of the points that are here since a model accepted them, 0–1. A share
                of normal was not, and is put back into the calibration.

        Raises:
            ValueError: no value, more than one column, infinite values, or times that descend.
        """
        del y
        values = self._column(X, reset=True)
        stamps = _stamps(times, values.size, 0.0, 1.0)
        if (np.diff(stamps) < 0.0).any():
            raise ValueError("times: expected ascending numbers")
        there = ~np.isnan(values)
        values, stamps = values[there], stamps[there]
        if not values.size:
            raise ValueError(
                "Forecast is fitted on 0 samples with a value: a minimum of 1 is required."
            )
        # Repeated points would be steps of no length.
        kept = np.append(np.diff(stamps) > 0.0, True)
        begin = regime_start(values[kept])
        values, stamps = values[kept][begin:], stamps[kept][begin:]
        self.unit_ = unit_of(stamps) or ""
        second = UNITS[self.unit_] if self.unit_ else 0.0
        unseen = OF_ONE_STATISTIC * self.alert_budget * accepted
        options = Options(bool(self.shapes), bool(self.seasonal), int(self.library), second, unseen)
        self.block_, state = train_forecast(values, stamps, options)
        self.last_state_ = state.view(np.uint8).copy()
        self.reference_ = reference(self.block_, stamps, values)
        self.offset_ = float(np.log(self.alert_budget))
        self.typical_ = typical_ranges(values[:, None])
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was pickled.

        Raises:
            ValueError: the model is none that the kernels could read within its bounds.
        """
        super().__setstate__(state)
        if hasattr(self, "block_"):
            check_packed(self.block_)
            from_bytes(self.last_state_.tobytes())
        if hasattr(self, "reference_"):
            check_reference(self.reference_)

    def first_state(self) -> State:
        """The online state behind the last training point."""
        check_is_fitted(self, "block_")
        return from_bytes(self.last_state_.tobytes())

    def adopt(self, state: State) -> State:
        """The state that an earlier model of the profile left, for this one to go on with."""
        return moved(state, self.head)

    def judge(
        self, X: ArrayLike, *, times: ArrayLike | None = None, state: State | None = None
    ) -> Points:
        """Judge points in their order.

        Args:
            X: values, shape (n, 1); NaN is no point.
            times: shape (n,), in the unit of the training; by default one usual step apart.
            state: what the points before them left; by default that of the training points.
        """
        check_is_fitted(self, "block_")
        values = self._column(X, reset=False)
        carried = self.first_state() if state is None else state.copy()
        step = float(self.head[layout.STEP])
        stamps = _stamps(times, values.size, float(carried["last_time"][0]) + step, step)
        out = np.empty((values.size, layout.COLUMNS))
        self._run(carried, stamps, values, out)
        return Points(
            carried,
            -out[:, layout.RARITY],
            np.exp(-out[:, layout.SURPRISE]),
            out[:, layout.EXPECTED],
            out[:, layout.DEVIATION],
            out,
        )

    def update(self, state: State, time: float, value: float) -> Update:
        """Judge one point, shape of ``judge``'s answer for it alone, with reasons."""
        carried = state.copy()
        out = np.empty((1, layout.COLUMNS))
        bounded = min(max(float(value), -LIMIT), LIMIT)
        self._run(carried, np.array([time], dtype=np.float64), np.array([bounded]), out)
        row = out[0]
        p = float(np.exp(-row[layout.SURPRISE]))
        reasons = reasons_of(row) if p < self.alert_budget else []
        band = band_of(row, self.band_width())
        return Update(carried, -float(row[layout.RARITY]), p, band, reasons)

    def band_width(self, budget: float | None = None) -> float:
        """Errors beyond so many deviations are rarer than the budget, by the calibration."""
        check_is_fitted(self, "block_")
        wanted = -float(np.log(self.alert_budget if budget is None else budget))
        content = self.block_.view(np.uint8)
        n, order, scale, top = content[layout.TAILS_AT :][:16].view(np.float32).astype(float)
        if n < 10.0:
            return float("nan")
        most = float(np.log(n + 1.0))
        if wanted > most:
            return float(top + order * scale * np.expm1((wanted - most) / order))
        knots = content[layout.KNOTS_AT :][: 4 * layout.KNOTS].view(np.float32)
        return float(np.interp(wanted, np.linspace(0.0, most, layout.KNOTS), knots))

    def score_samples(self, X: ArrayLike, *, times: ArrayLike | None = None) -> Floats:
        """ln p of each point by the calibration, shape (n,): the higher, the more normal.

        The points follow the training points; NaN without a value.
        """
        return self.judge(X, times=times).scores

    def decision_function(self, X: ArrayLike, *, times: ArrayLike | None = None) -> Floats:
        """ln p − ln budget among the recent points, shape (n,): negative is an anomaly."""
        return np.asarray(
            -self.judge(X, times=times).columns[:, layout.SURPRISE] - np.log(self.alert_budget)
        )

    def predict(self, X: ArrayLike, *, times: ArrayLike | None = None) -> NDArray[np.int64]:
        """-1 for an anomaly, 1 for normal, shape (n,)."""
        return np.where(self.decision_function(X, times=times) < 0.0, -1, 1)

    def contributions(self, X: ArrayLike, *, times: ArrayLike | None = None) -> Floats:
        """Share of each of ``STATISTICS`` in the surprise of each point, shape (n, 7).

        Rows sum to 1; a point that no statistic speaks against has zeros.
        """
        shares = np.nan_to_num(self.judge(X, times=times).columns[:, layout.SHARES :])
        total = shares.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(shares, total, out=np.zeros_like(shares), where=total > 0.0))

    @property
    def nbytes(self) -> int:
        """Bytes of the packed model; its online state has ``state.STATE_BYTES`` more."""
        return int(self.block_.nbytes)

    @staticmethod
    def unit(scores: Floats) -> Floats:
        """Scores mapped to 0–1, strictly decreasing: x / (1 + x) of −ln p."""
        return distance_to_unit(scores)

    @property
    def head(self) -> Floats:
        """The head of the packed model, as in ``kernels.forecast.layout``."""
        return self.block_[: layout.HEAD].view(np.float64)

    def _run(self, state: State, times: Floats, values: Floats, out: Floats) -> None:
        scratch = np.empty((1, layout.WEIGHTS))
        # The kernel has addresses: block and state are held by the caller meanwhile.
        block, at = self.block_, state.ctypes.data
        points.run_points(block.ctypes.data, at, times, values, False, out, scratch)

    def _column(self, X: ArrayLike, *, reset: bool) -> Floats:
        checked: Floats = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        if checked.shape[1] != 1:
            raise ValueError(
                f"Forecast judges one metric: expected X of shape (n, 1), got {checked.shape}"
            )
        return np.clip(np.ascontiguousarray(checked[:, 0]), -LIMIT, LIMIT)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        # Only one column, so what scikit-learn checks with matrices does not fit.
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags


def _stamps(times: ArrayLike | None, size: int, first: float, step: float) -> Floats:
    if times is None:
        return first + step * np.arange(size, dtype=np.float64)
    stamps = np.ascontiguousarray(times, dtype=np.float64)
    if stamps.shape != (size,):
        raise ValueError(f"times: expected shape ({size},), got {stamps.shape}")
    if not np.isfinite(stamps).all():
        raise ValueError("times: expected finite numbers")
    return stamps
