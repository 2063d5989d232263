"""Drift over a batch: what ``drift.py`` says of one record, for those of many profiles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from models import drift
from models._kernels_drift import follow_groups

_drift = partial(tuple.__new__, drift.Drift)


def follow_all(
    states: Sequence[drift.Drift],
    since_anomaly: Sequence[int | None],
    means: Sequence[float],
    counts: NDArray[np.int64],
    decisions: NDArray[np.float64],
    p_values: NDArray[np.float64],
) -> tuple[list[drift.Drift], NDArray[np.bool_]]:
    """What ``drift.follow`` comes to over a batch of records of one sample, profile by profile.

    Args:
        states: of each profile before.
        since_anomaly: the same for its records since the last anomaly.
        means: ``drift.least_mean`` of each profile's model in force.
        counts: records of each profile.
        decisions, p_values: of all records, profile by profile.

    Returns:
        The state of each profile afterwards, and whether it is plain: where one of its records is
        an anomaly or tells nothing, or where drift is to be told, the state says nothing.
    """
    flat = np.fromiter(chain.from_iterable(states), np.float64, 4 * len(states))
    before = flat.reshape(-1, 4).T.copy()
    skipped = [0 if since is None else max(0, drift.GUARD - since) for since in since_anomaly]
    plain = np.zeros(len(states), dtype=np.bool_)
    follow_groups(
        counts,
        np.array(skipped, dtype=np.int64),
        np.array(means, dtype=np.float64),
        decisions,
        p_values,
        *before,
        plain,
        (drift.BOUND, drift.GENTLE, drift.BOLD, drift.MOST),
    )
    wealth, whole = before[:2].tolist(), before[2:].astype(np.int64).tolist()
    return list(map(_drift, zip(*wealth, *whole, strict=True))), plain
