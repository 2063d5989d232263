"""A profile's records in time order through scoring, admission, retraining and gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from models.artifacts import Model
from models.calibration import drift
from models.detectors.base import Detector, Floats
from models.learning.admission import ADMITTED, DEFAULT, admitted, draw
from models.learning.candidate import Policy
from models.learning.retraining import p_values_of, retrain
from models.learning.training import train

Lay = Callable[[Detector, int], Floats]
"""The records to come from a position on, shape (n, d), as long as this detector judges them."""


@dataclass(frozen=True)
class Learning:
    """How a profile learns on.

    Attributes:
        name: as in the tables.
        retrained: whether at all.
        selected: whether admission chooses what is learnt; else all that is accepted.
        gated: whether the gate may refuse a candidate.
    """

    name: str
    retrained: bool = True
    selected: bool = True
    gated: bool = True


@dataclass
class Followed:
    """What happened.

    Attributes:
        models: every version, the first one first.
        since: position of the first record that each version judged.
        p_values: of each record by the version of its time, shape (n,).
        standing: how normal that version finds it, shape (n,): see ``standing``.
        tried: candidates.
        refused: those of them that the gate refused.
        admitted: records that came into the pool.
        drifted: whether drift was ever flagged.
    """

    models: list[Model]
    since: list[int]
    p_values: Floats
    standing: Floats
    tried: int = 0
    refused: int = 0
    admitted: int = 0
    drifted: bool = field(default=False)


def first_model(detector: str, samples: Floats, budget: float, seed: int) -> Model:
    """Version 1."""
    names = tuple(str(number) for number in range(samples.shape[1]))
    return train(detector, samples, names, alert_budget=budget, seed=seed, provenance={})


def plain(records: Floats) -> Lay:
    """Records that are what they are, whoever judges them."""
    return lambda _, at: records[at:]


def standing(detector: Detector, rows: Floats) -> Floats:
    """P-values as normal quantiles, shape (n,), NaN without evidence.

    So versions compare as the alert budget compares them, and the mean over a session is what
    Stouffer's method (1949) makes of its p-values.
    """
    return np.asarray(special.ndtri(p_values_of(detector, rows)), dtype=np.float64)


def simulate(
    first: Model,
    lay: Lay,
    count: int,
    strangers: Floats,
    learning: Learning,
    *,
    budget: float,
    every: int,
    policy: Policy = "grow",
    seed: int = 0,
) -> Followed:
    """Follow ``count`` records, with a candidate after each ``every`` accepted ones."""
    found = Followed([first], [0], np.full(count, np.nan), np.full(count, np.nan))
    pool: list[Floats] = []
    accepted, since, wealth = 0, None, drift.NONE
    model, base, rows = first, 0, lay(first.row_detector, 0)
    p_values, stands = p_values_of(model.row_detector, rows), standing(model.row_detector, rows)
    for at in range(count):
        p_value = float(p_values[at - base])
        found.p_values[at], found.standing[at] = p_value, stands[at - base]
        anomaly = p_value < budget
        mean = drift.least_mean(int(model.provenance["samples"]))
        wealth, since = drift.follow(wealth, since, p_value, anomaly=anomaly, mean=mean)
        found.drifted |= drift.drifting(wealth)
        if anomaly:
            continue
        accepted += 1
        if not learning.selected or (
            admitted(p_value, since, "scorer", draw(seed, str(at))) in ADMITTED
        ):
            pool.append(rows[at - base])
            found.admitted += 1
        if not learning.retrained or accepted % every or not pool or at + 1 == count:
            continue
        candidate = retrain(
            model,
            np.array(pool),
            strangers,
            policy=policy,
            cold_start=first.samples.shape[0],
            alert_budget=budget,
            seed=seed + accepted,
            provenance={},
            admission=DEFAULT if learning.selected else None,
        )
        found.tried += 1
        if learning.gated and not candidate.outcome.passed:
            found.refused += 1
            continue
        model, base, wealth = candidate.model, at + 1, drift.NONE
        rows = lay(model.row_detector, base)
        p_values, stands = p_values_of(model.row_detector, rows), standing(model.row_detector, rows)
        found.models.append(model)
        found.since.append(base)
    return found
