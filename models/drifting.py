"""Drift over a batch: what ``drift.py`` says of one record, for those of many profiles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models import drift
from models._kernels_drift import follow_groups

Integers = NDArray[np.int64]

UNKNOWN = -1
"""Of records since the last anomaly: that is not known."""

_drift = partial(tuple.__new__, drift.Drift)


class Followed(NamedTuple):
    """What is known behind the records of a batch.

    Attributes:
        states: of each profile.
        since_anomaly: records since the last anomaly, of each profile.
        each: the same behind each record.
        plain: of which profiles no drift is to be told behind any record; of others nothing else
            holds.
    """

    states: list[drift.Drift]
    since_anomaly: Integers
    each: Integers
    plain: NDArray[np.bool_]


def follow_all(
    states: Sequence[drift.Drift],
    since_anomaly: Sequence[int | None],
    means: Sequence[float],
    counts: Integers,
    decisions: NDArray[np.float64],
    p_values: NDArray[np.float64],
) -> Followed:
    """What ``drift.follow`` comes to over a batch of records of one sample, profile by profile.

    Args:
        states: of each profile before.
        since_anomaly: the same for its records since the last anomaly.
        means: ``drift.least_mean`` of each profile's model in force.
        counts: records of each profile.
        decisions, p_values: of all records, profile by profile; NaN of one that tells nothing.
    """
    flat = np.fromiter(chain.from_iterable(states), np.float64, 4 * len(states))
    numbers = flat.reshape(-1, 4).T.copy()
    known = [UNKNOWN if since is None else since for since in since_anomaly]
    since = np.array(known, dtype=np.int64)
    each = np.empty(len(decisions), dtype=np.int64)
    plain = np.zeros(len(states), dtype=np.bool_)
    follow_groups(
        counts,
        np.array(means, dtype=np.float64),
        decisions,
        p_values,
        *numbers,
        since,
        each,
        plain,
        (drift.BOUND, drift.GENTLE, drift.BOLD, drift.MOST, drift.GUARD),
    )
    wealth, whole = numbers[:2].tolist(), numbers[2:].astype(np.int64).tolist()
    return Followed(list(map(_drift, zip(*wealth, *whole, strict=True))), since, each, plain)
