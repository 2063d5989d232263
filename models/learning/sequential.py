"""Training and retraining of detectors that judge the points of a metric in their order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.detectors.base import Floats
from models.detectors.forecast.detector import Forecast
from models.detectors.registry import SEQUENTIAL_DETECTORS
from models.learning.gate import DEFAULT, Gate, GateResult, at_least

FEWEST_JUDGED = 10
"""With fewer points held back the gate lets a candidate pass."""


def fit_in_order(
    name: str,
    values: Floats,
    times: Floats | None,
    *,
    alert_budget: float,
    accepted: float = 0.0,
) -> Forecast:
    """A fitted detector of points.

    Args:
        name: in ``models.detectors.SEQUENTIAL``.
        values: shape (n, 1).
        times: shape (n,), in any order; None counts the points.
        alert_budget: share of normal points that may be called anomalous, 0–1.
        accepted: share of the points that are here since a model accepted them, 0–1.
    """
    detector = SEQUENTIAL_DETECTORS[name](alert_budget=alert_budget)
    if times is None:
        return detector.fit(values, accepted=accepted)
    order = in_order(times)
    return detector.fit(values[order], times=times[order], accepted=accepted)


def in_order(times: Floats) -> NDArray[np.int64]:
    """Order of points by their times, a stable sort."""
    return np.argsort(times, kind="stable")


def judge_held_back(
    probe: Forecast,
    values: Floats,
    times: Floats | None,
    *,
    alert_budget: float,
    rules: Gate = DEFAULT,
) -> GateResult:
    """The gate of a candidate: how many accepted points would be alarms of a model without them.

    Args:
        probe: of the candidate's kind, fitted on all points before these.
        values: the latest points, shape (n, 1).
        times: shape (n,); None counts the points.
        alert_budget: share of normal points that may be called anomalous, 0–1.
        rules: what the gate takes for noise.
    """
    if times is not None:
        order = in_order(times)
        values, times = values[order], times[order]
    p_values = probe.judge(values, times=times).p_values
    samples = int(values.shape[0])
    alarms = int((p_values < alert_budget).sum())
    figures: dict[str, float | int] = {"held_back_samples": samples, "held_back_alarms": alarms}
    if samples >= FEWEST_JUDGED and at_least(alarms, samples, alert_budget) < rules.significance:
        return GateResult(False, f"{alarms} of {samples} held back points would be alarms", figures)
    return GateResult(True, "no worse", figures)
