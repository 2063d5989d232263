"""Drift: a test martingale against low p-values, four numbers a profile.

While a model fits, the p-values of its verdicts are uniform, and a capital that is bet on low ones
does not grow. If it grows, the profile drifts. The bets are linear in p, so a single p-value
multiplies the capital by less than 1.7 however abnormal, and a flag takes at least two dozen
records. Method, figures and cost: docs/drift.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALARM_CAPITAL = 100_000.0
"""Wealth from which on a profile drifts: a false flag in n records has a chance below
n/ALARM_CAPITAL."""

NULL_MEAN = 0.4
"""Least mean of p-values that still fits.

A calibration on n samples is itself off by about 0.3/√n; a bet against exactly 0.5 would find
that out, and call it drift.
"""

SLACK = 0.9
"""The same for small n: a mean that is SLACK/√n, three standard errors, below 0.5 still fits."""

MIN_NULL_MEAN = 0.1
"""No model is so small that a mean below this fits it."""

GENTLE, BOLD = 0.3, 0.8
"""Two stakes: one for slight shifts over many records, one for large ones over few."""

SCALE = 1.2
"""Of the gain of a stake: the bold one keeps a little of its wealth even at a p-value of 1."""

GUARD = 2
"""Records behind an anomaly that are not counted, see ``follow``."""

QUIET = 500
"""Records after a report before the same drift is reported again: as many as a retraining takes."""

MOST = 1e12
"""Wealth beyond this means the same, and the product stays far from overflow."""

# From so many samples on NULL_MEAN is the least mean that fits.
_MANY = math.ceil((SLACK / (0.5 - NULL_MEAN)) ** 2)


class Drift(NamedTuple):
    """What is known of a profile since its version was adopted, or its partition assigned.

    Attributes:
        gentle: wealth of the small stake since it last began at 1.
        bold: the same of the large stake.
        records: how many were counted.
        quiet: how many have to be counted before drift is reported (again).
    """

    gentle: float = 1.0
    bold: float = 1.0
    records: int = 0
    quiet: int = 0


class Drifts(NamedTuple):
    """What is known of the drift of many profiles, in columns; see ``Drift``."""

    gentle: Floats
    bold: Floats
    records: Floats
    quiet: Floats


UNKNOWN = -1
"""Of records since the last anomaly, in a column: that is not known."""

NONE = Drift()
"""Of a profile that has just begun, or has a new model."""


def update(state: Drift, p_value: float, mean: float = NULL_MEAN) -> Drift:
    """The state after one more record's p-value, in (0, 1]; NaN tells nothing.

    Wealth below 1 begins anew at 1: drift that starts late is found as soon as drift that starts
    at once (Page's CUSUM of a test martingale; Vovk, Petej, Nouretdinov, Ahlberg, Carlsson,
    Gammerman, 2021, "Retrain or not retrain").

    Args:
        mean: least mean of p-values that still fits, 0–0.5.
    """
    edge = SCALE * (mean - p_value) / (1.0 - mean)
    if edge != edge:
        return state
    gentle, bold, records, quiet = state
    gentle = (gentle if gentle > 1.0 else 1.0) * (1.0 + GENTLE * edge)
    bold = (bold if bold > 1.0 else 1.0) * (1.0 + BOLD * edge)
    return Drift(
        gentle if gentle < MOST else MOST, bold if bold < MOST else MOST, records + 1, quiet
    )


def follow(
    state: Drift,
    since_anomaly: int | None,
    p_value: float,
    *,
    anomaly: bool,
    mean: float = NULL_MEAN,
    samples: int = 1,
) -> tuple[Drift, int | None]:
    """State and records since the last anomaly after one more record.

    An anomaly, and the two records behind one, are not counted: drift is what retraining can
    follow, and that learns from no anomaly. Of an attack most records are anomalies, so hardly any
    of them counts, however long it lasts; of a profile that moves, anomalies are the smaller part.

    ``models.kernels.calibration.follow_groups`` is the compiled twin, for records of one sample of
    many profiles; a property test holds both to the same bits.

    Args:
        since_anomaly: records since the profile's last anomaly before this record, 0 for an
            anomaly; None if unknown.
        p_value: of the record's most abnormal sample, in (0, 1]; NaN tells nothing.
        anomaly: whether this record is one.
        mean: least mean of p-values that still fits, see ``least_mean``.
        samples: how many the record holds; the least of m uniform p-values is made uniform again
            by 1 − (1 − p)^m (Šidák, 1967).
    """
    if anomaly:
        return state, 0
    if since_anomaly is not None:
        since_anomaly += 1
        if since_anomaly <= GUARD:
            return state, since_anomaly
    if samples > 1:
        p_value = 1.0 - (1.0 - p_value) ** samples
    return update(state, p_value, mean), since_anomaly


def least_mean(trained_on: int) -> float:
    """Least mean of p-values that still fits a model calibrated on so many samples, 1 or more."""
    if trained_on >= _MANY:
        return NULL_MEAN
    return min(NULL_MEAN, max(MIN_NULL_MEAN, 0.5 - SLACK / math.sqrt(trained_on)))


@overload
def drifting(state: Drift) -> bool: ...


@overload
def drifting(state: Drifts) -> NDArray[np.bool_]: ...


def drifting(state: Drift | Drifts) -> bool | NDArray[np.bool_]:
    """Whether p-values have been too low for too long to be chance; of many profiles, of which.

    If p-values are independent with mean ``NULL_MEAN`` or more, the chance that this is so at any
    of n records is at most n / ``ALARM_CAPITAL`` (Ville's inequality for the martingale from each
    start).
    """
    return (state[0] + state[1]) * 0.5 >= ALARM_CAPITAL


def should_report(state: Drift) -> bool:
    """Whether there is drift to report now."""
    return (state[0] + state[1]) * 0.5 >= ALARM_CAPITAL and state[2] >= state[3]


def after_report(state: Drift) -> Drift:
    """The state after a report."""
    return state._replace(quiet=state.records + QUIET)
