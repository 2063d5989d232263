"""A series judged as the stream does: learn its first points, judge on, learn anew at times."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.detectors.forecast import Forecast
from models.detectors.forecast.state import State
from models.detectors.registry import make
from models.evaluation.datasets.tasks import Floats, Series
from models.kernels.forecast import layout

POOL = 2000
"""Points that are learnt at most, the latest ones."""


@dataclass(frozen=True)
class Judged:
    """What a detector says of each point, NaN of those that are only learnt.

    Attributes:
        scores: shape (n,), the higher, the more abnormal.
        rarities: shape (n,), −ln p.
        fit_seconds: processor time of one training, mean.
        point_seconds: processor time of one point, mean.
        model_bytes: of the last model, online state included.
    """

    scores: Floats
    rarities: Floats
    fit_seconds: float
    point_seconds: float
    model_bytes: int


Part = Callable[[Series, slice, slice], tuple[Floats, Floats, float, int]]


def judge_series(name: str, series: Series) -> Judged:
    """Judge a series by a detector's name in ``DETECTORS``.

    Models are learnt from the latest ``POOL`` points, anew every ``series.relearned``.
    """
    part = DETECTORS[name]()
    size = series.values.size
    scores, rarities = np.full(size, np.nan), np.full(size, np.nan)
    starts = range(series.learned, size, series.relearned or size)
    fitting, model_bytes, started = 0.0, 0, time.process_time()
    for first in starts:
        judged = slice(first, min(first + (series.relearned or size), size))
        learnt = slice(max(0, first - POOL), first)
        scores[judged], rarities[judged], seconds, model_bytes = part(series, learnt, judged)
        fitting += seconds
    scoring = time.process_time() - started - fitting
    judged_points = max(size - series.learned, 1)
    return Judged(scores, rarities, fitting / len(starts), scoring / judged_points, model_bytes)


def times_of(series: Series) -> Floats:
    """The series' times, or the places of its points."""
    return np.arange(float(series.values.size)) if series.times is None else series.times


def _gaussian() -> Part:
    def judged(series: Series, learnt: slice, asked: slice) -> tuple[Floats, Floats, float, int]:
        started = time.process_time()
        model = make("gaussian").fit(series.values[learnt, None])
        seconds = time.process_time() - started
        scores = model.score_samples(series.values[asked, None])
        return -scores, -np.log(model.calibration_.p_values(scores)), seconds, model.nbytes

    return judged


def _forecast(**parameters: Any) -> Part:
    """One profile: each model goes on with the online state of the one before."""
    known: list[State] = []

    def judged(series: Series, learnt: slice, asked: slice) -> tuple[Floats, Floats, float, int]:
        times = times_of(series)
        started = time.process_time()
        model = Forecast(**parameters).fit(series.values[learnt, None], times=times[learnt])
        seconds = time.process_time() - started
        state = model.adopt(known[-1]) if known else None
        found = model.judge(series.values[asked, None], times=times[asked], state=state)
        known[:] = [found.state]
        rarities = found.columns[:, layout.SURPRISE]
        return -found.scores, rarities, seconds, model.nbytes + found.state.nbytes

    return judged


DETECTORS: dict[str, Callable[[], Part]] = {
    "gaussian": _gaussian,
    "forecast": _forecast,
    "forecast, light": lambda: _forecast(shapes=False),
}
"""Name → what learns one slice of a series and judges another, from a new profile on."""
