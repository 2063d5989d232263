"""Drift over a batch: what ``drift.py`` says of one record, for those of many profiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models import drift
from models._kernels_drift import follow_groups


def follow_all(
    states: Sequence[drift.Drift],
    since_anomaly: Sequence[int | None],
    trained_on: Sequence[int],
    counts: Sequence[int],
    decisions: NDArray[np.float64],
    p_values: NDArray[np.float64],
) -> list[drift.Drift | None]:
    """What ``drift.follow`` comes to over a batch of records of one sample, profile by profile.

    Args:
        states: of each profile before.
        since_anomaly: the same for its records since the last anomaly.
        trained_on: samples that each profile's model in force was calibrated on.
        counts: records of each profile.
        decisions, p_values: of all records, profile by profile.

    Returns:
        The state of each profile afterwards; None where one of its records is an anomaly or tells
        nothing, or where drift is to be told.
    """
    before = np.array(states, dtype=np.float64).reshape(-1, 4).T.copy()
    skipped = [0 if since is None else max(0, drift.GUARD - since) for since in since_anomaly]
    plain = np.zeros(len(counts), dtype=np.bool_)
    follow_groups(
        np.array(counts, dtype=np.int64),
        np.array(skipped, dtype=np.int64),
        np.array([drift.least_mean(samples) for samples in trained_on], dtype=np.float64),
        decisions,
        p_values,
        *before,
        plain,
        (drift.BOUND, drift.GENTLE, drift.BOLD, drift.MOST),
    )
    after = zip(*(numbers.tolist() for numbers in before), plain.tolist(), strict=True)
    return [
        drift.Drift(gentle, bold, int(records), int(quiet)) if fine else None
        for gentle, bold, records, quiet, fine in after
    ]
