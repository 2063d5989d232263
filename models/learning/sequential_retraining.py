"""Retraining of detectors that judge the points of a metric in their order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors.base import Floats
from models.learning.candidate import Candidate, union_indices
from models.learning.gate import Gate
from models.learning.sequential import fit_in_order, judge_held_back
from models.learning.training import stored, train


def retrain_in_order(
    current: Model,
    samples: Floats,
    times: Floats | None,
    learnt: NDArray[np.int64],
    *,
    name: str,
    held_back: int,
    alert_budget: float,
    seed: int,
    provenance: Mapping[str, Any],
    rules: Gate,
) -> Candidate:
    """A candidate that judges points in their order, and what the gate says of it.

    Args:
        samples: originals, then the pool, shape (n, 1).
        times: shape (n,); None counts the points.
        learnt: places of what the candidate learns.
        held_back: how many of the latest a probe is judged on.
    """
    latest, originals = samples.shape[0] - held_back, int(provenance["cold_start"])
    seen = learnt[learnt < latest]
    probe = fit_in_order(
        name,
        samples[seen],
        None if times is None else times[seen],
        alert_budget=alert_budget,
        accepted=float(np.mean(seen >= originals)) if seen.size else 0.0,
    )
    outcome = judge_held_back(
        probe,
        samples[latest:],
        None if times is None else times[latest:],
        alert_budget=alert_budget,
        rules=rules,
    )
    model = train(
        name,
        samples[learnt],
        current.features,
        alert_budget=alert_budget,
        seed=seed,
        provenance=provenance,
        times=None if times is None else times[learnt],
        accepted=float(np.mean(learnt >= originals)),
    )
    kept = union_indices(samples.shape[0], learnt, np.arange(originals))
    if kept.size > learnt.size:
        again = stored(samples[kept], model.detector.typical_)._asdict()
        model = replace(model, **again, times=None if times is None else times[kept])
    return Candidate(model, outcome)
