"""Drift over a batch: ``drift.follow`` compiled, for records of many profiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import drift
from models.calibration.drift import Drifts
from models.kernels.calibration import follow_groups

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


RULE = (drift.ALARM_CAPITAL, drift.SCALE, drift.GENTLE, drift.BOLD, drift.MOST, drift.GUARD)
"""The constants of ``drift`` for the kernel."""


class DriftBatch(NamedTuple):
    """Drift after the records of a batch.

    Attributes:
        drifts: of each profile.
        since_anomaly: records since the last anomaly, of each profile.
        each: the same after each record.
        plain: whether no drift is to be reported after any record of a profile; the other fields
            are not valid for a profile with such a report.
    """

    drifts: Drifts
    since_anomaly: Integers
    each: Integers
    plain: NDArray[np.bool_]


def follow_all(
    drifts: Drifts,
    since_anomaly: Integers,
    means: Floats,
    counts: Integers,
    decisions: Floats,
    p_values: Floats,
) -> DriftBatch:
    """``drift.follow`` of a batch of records of one sample each, profile by profile.

    Args:
        drifts: of each profile before.
        since_anomaly: records since the last anomaly of each before; ``UNKNOWN`` if it is.
        means: ``drift.least_mean`` of each profile's model in force.
        counts: records of each profile.
        decisions, p_values: of all records, profile by profile; NaN of one that tells nothing.
    """
    after, since = Drifts(*(column.copy() for column in drifts)), since_anomaly.copy()
    each = np.empty(len(decisions), dtype=np.int64)
    plain = np.zeros(len(counts), dtype=np.bool_)
    follow_groups(
        counts,
        means,
        decisions,
        p_values,
        *after,
        since,
        each,
        plain,
        RULE,
    )
    return DriftBatch(after, since, each, plain)
