"""Retraining: original and accepted samples to a candidate that the gate has judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.calibration import Calibration
from models.detector import Detector, Floats
from models.detectors import DETECTORS
from models.gate import DEFAULT, Gate, Outcome, judge
from models.training import stored, train

Policy = Literal["grow", "slide", "blend"]

HELD_BACK = 0.2
"""Share of the pool, the latest, on which a probe is judged."""

SPARED = 5
"""Every so many-th original sample is held back from the probe."""

SYNTHETIC = 100
"""Stand-in impostors that are made from the original samples."""

FIRST = "rejected_first_share"
"""Where a model's provenance keeps what version 1 rejected."""


@dataclass(frozen=True)
class Candidate:
    """A retrained model and what the gate says of it.

    Attributes:
        model: ready to be packed; the original samples stand first in its samples, whatever the
            policy.
        outcome: whether it may be proposed, why, and the figures.
    """

    model: Model
    outcome: Outcome


def retrain(
    current: Model,
    pool: Floats,
    strangers: Floats,
    *,
    policy: Policy,
    cold_start: int,
    alert_budget: float,
    seed: int,
    provenance: Mapping[str, Any],
    rules: Gate = DEFAULT,
) -> Candidate:
    """Train a candidate on original and accepted samples, and judge it; pure.

    Args:
        current: the model in force; its first ``cold_start`` samples are the original ones.
        pool: admitted samples, shape (n, d), the oldest first, NaN where absent; n ≥ 1.
        strangers: samples of other profiles of the same kind and features, shape (m, d), m ≥ 0.
        policy: which samples the candidate learns, see ``chosen``.
        cold_start: how many of the current model's samples are the original ones.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        seed: of everything random.
        provenance: what the caller knows of the samples; plain JSON values.
        rules: what the gate takes for noise.

    Raises:
        ValueError: the pool is empty, or has another width than the model; or no original samples.
    """
    width = current.samples.shape[1]
    if pool.ndim != 2 or pool.shape[0] == 0 or pool.shape[1] != width:
        raise ValueError(f"pool has the shape {pool.shape}, expected (1 or more, {width})")
    if cold_start < 1:
        raise ValueError(f"cold_start is {cold_start}, expected 1 or more")
    original = current.samples[:cold_start].astype(np.float64)
    everything = np.concatenate([original, pool])
    learnt = chosen(original.shape[0], pool.shape[0], policy)
    model = train(
        detector_name(current),
        everything[learnt],
        current.features,
        alert_budget=alert_budget,
        seed=seed,
        provenance={**provenance, "policy": policy},
    )
    spent = alert_budget / (1.0 - alert_budget)
    pooled = int((learnt >= original.shape[0]).sum())
    complete(model.detector, round(spent * pooled))
    held_back, spared = out_of_sample(model.detector, everything, learnt, original.shape[0])
    impostors = np.concatenate([strangers, synthetic(original)])
    outcome = judge(
        held_back,
        spared,
        rarity(current.detector, impostors),
        rarity(model.detector, impostors),
        alert_budget=alert_budget,
        calibrated=current.detector.calibration_.scores.size,
        first_share=current.provenance.get(FIRST),
        rules=rules,
    )
    # The next retraining finds the originals in front, whether this one learnt them or not.
    kept = np.union1d(learnt, np.arange(original.shape[0]))
    model = replace(
        model,
        samples=stored(everything[kept]),
        provenance={**model.provenance, FIRST: outcome.figures[FIRST]},
    )
    return Candidate(model, outcome)


def chosen(original: int, pool: int, policy: Policy) -> NDArray[np.int64]:
    """Positions of the samples that a candidate learns, ascending; the originals come first.

    ``grow``: all. ``slide``: the latest, as many as there were originals. ``blend``: the originals
    and as many of the latest.
    """
    everything = np.arange(original + pool)
    match policy:
        case "grow":
            return everything
        case "slide":
            return everything[-original:]
        case "blend":
            return np.concatenate([everything[:original], everything[original:][-original:]])
    assert_never(policy)


def complete(detector: Detector, missing: int) -> None:
    """Put back into a calibration what could not be pooled because it was called an anomaly.

    Only what lies above the threshold is accepted. Were the scores of pooled samples taken for all
    of normal, the threshold would rise, and more so with each retraining. Of the profile's normal
    the budget's share is missing, all of it below the threshold; each counts as one of the lowest
    scores, which are then there twice.
    """
    if not missing:
        return
    known = detector.calibration_
    base = Calibration.fit(np.concatenate([known.scores, known.scores[:missing]]))
    learnt = {field.name: getattr(base, field.name) for field in fields(base)}
    detector.calibration_ = replace(known, **learnt)
    detector.offset_ = detector.calibration_.offset(detector.alert_budget)


def out_of_sample(
    detector: Detector, samples: Floats, learnt: NDArray[np.int64], original: int
) -> tuple[Floats, Floats]:
    """P-values of the latest pooled samples and of some original ones by a model without them.

    The probe is the candidate's own kind of model, trained on the rest of what the candidate
    learns, and read by the candidate's calibration.

    Args:
        detector: the fitted candidate.
        samples: originals, then the pool, shape (n, d).
        learnt: positions of what the candidate learnt.
        original: how many originals there are.
    """
    pool = samples.shape[0] - original
    held_back = np.arange(samples.shape[0] - max(1, round(HELD_BACK * pool)), samples.shape[0])
    spared = np.arange(SPARED - 1, original, SPARED)
    seen = np.union1d(learnt, np.concatenate([held_back, spared]))
    block = np.searchsorted(seen, np.concatenate([spared, held_back]))
    scores = detector._held_out(samples[seen], block)
    p_values = detector.calibration_.p_values(scores)
    return p_values[spared.size :], p_values[: spared.size]


def rarity(detector: Detector, rows: Floats) -> Floats:
    """P-values of rows, shape (n,)."""
    return detector.calibration_.p_values(detector.score_samples(rows))


def detector_name(model: Model) -> str:
    """Name in ``models.DETECTORS`` of a model's detector."""
    said = model.provenance.get("detector")
    return said if said in DETECTORS else type(model.detector).__name__.lower()


def synthetic(original: Floats) -> Floats:
    """Stand-in impostors, shape (100, d), the same for the same originals.

    Original samples, pushed by one to four standard deviations of each feature at random, so that
    some are near and some are far; NaN where the sample has none.
    """
    generator = np.random.default_rng(0)
    rows = original[generator.integers(original.shape[0], size=SYNTHETIC)]
    known = ~np.isnan(original)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, original, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (original - mean) ** 2, 0.0).sum(axis=0) / count)
    push = generator.normal(size=rows.shape) * generator.uniform(1.0, 4.0, size=(SYNTHETIC, 1))
    return np.asarray(rows + push * spread, dtype=np.float64)
