"""Drift over a batch: what ``drift.py`` says of one record, for those of many profiles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration import drift
from models.calibration.drift import Drifts
from models.kernels.calibration import follow_groups

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class DriftBatch(NamedTuple):
    """What is known behind the records of a batch.

    Attributes:
        drifts: of each profile.
        since_anomaly: records since the last anomaly, of each profile.
        each: the same behind each record.
        plain: of which profiles no drift is to be told behind any record; of others nothing else
            holds.
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
    """What ``drift.follow`` comes to over a batch of records of one sample, profile by profile.

    Args:
        drifts: of each profile before.
        since_anomaly: the same for its records since the last anomaly, ``UNKNOWN`` where that is.
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
        (drift.ALARM_CAPITAL, drift.GENTLE, drift.BOLD, drift.MOST, drift.GUARD),
    )
    return DriftBatch(after, since, each, plain)
