"""Retraining: original and accepted samples to a candidate that the gate has judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from models.artifacts import Model
from models.calibration.conformal import Calibration
from models.detectors.base import Detector, Floats
from models.detectors.registry import DETECTORS, make
from models.kernels import block as packing
from models.learning.admission import DEFAULT as ADMISSION
from models.learning.admission import Admission
from models.learning.gate import DEFAULT, Gate, GateResult, departure, evaluate_candidate
from models.learning.impostors import extrapolated_samples, synthetic
from models.learning.training import stored, train

Policy = Literal["grow", "slide", "blend"]

HELD_BACK = 0.2
"""Share of the pool, the latest, on which a probe is judged."""

SPARED = 5
"""Every so many-th original sample is held back from the probe."""


BORDERLINE = ADMISSION.clear_from
"""Share of normal that counts as borderline, its most abnormal."""

LATEST = 40
"""So many of the latest pooled samples are shown to version 1."""


@dataclass(frozen=True)
class Candidate:
    """A retrained model and what the gate says of it.

    Attributes:
        model: ready to be packed; the original samples stand first in its samples, whatever the
            policy.
        outcome: whether it may be proposed, why, and the figures.
    """

    model: Model
    outcome: GateResult


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
    detector: str | None = None,
    rules: Gate = DEFAULT,
    admission: Admission | None = ADMISSION,
) -> Candidate:
    """Train a candidate on original and accepted samples, and judge it; pure.

    Args:
        current: the model in force; its first ``cold_start`` samples are the original ones.
        pool: admitted samples, shape (n, d), the oldest first, NaN where absent; n ≥ 1.
        strangers: samples of other profiles of the same kind and features, shape (m, d), m ≥ 0.
        policy: which samples the candidate learns, see ``training_indices``.
        cold_start: how many of the current model's samples are the original ones.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        seed: of everything random.
        provenance: what the caller knows of the samples; plain JSON values.
        detector: name in ``models.DETECTORS`` of the candidate's; None for the current model's.
            Where it is another kind, the candidate is compared with one of its own kind that
            learnt what the current model learnt: how far two kinds reach is for whoever chose
            between them, what has crept in since for the gate.
        rules: what the gate takes for noise.
        admission: what chose the pool; None where all that was accepted is in it.

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
    learnt = training_indices(original.shape[0], pool.shape[0], policy)
    was = detector_name(current)
    name = detector or was
    probed = make(name, alert_budget=alert_budget, seed=seed)
    known = current.detector if name == was else again(probed, current, cold_start, admission)
    moved_over = {} if name == was else {"detector_before": was}
    spared, held_back = scores_out_of_sample(probed, everything, learnt, original.shape[0])
    model = train(
        name,
        everything[learnt],
        current.features,
        alert_budget=alert_budget,
        seed=seed,
        provenance={**provenance, "policy": policy, **moved_over},
        latest=held_back,
        # Versions whose calibrations came about in different ways hardly compare.
        suspected=getattr(known, "in_blocks_", False),
    )
    pooled = int((learnt >= original.shape[0]).sum())
    reweight_calibration(model.detector, *censored_counts(pooled, alert_budget, admission))
    calibrated = model.detector.calibration_
    impostors = np.concatenate([strangers, synthetic(original)])
    version_1 = known
    if current.samples.shape[0] > cold_start or type(version_1) is not type(model.detector):
        version_1 = clone(model.detector).fit(original)
    originals = max(version_1.calibration_.scores.size, 1)
    shown = pool[-LATEST:]
    seen_by_first = p_values_of(version_1, np.concatenate([shown, impostors]))
    latest, first = seen_by_first[: shown.shape[0]], seen_by_first[shown.shape[0] :]
    after = p_values_of(model.detector, impostors)
    # Fewer tell too little of where they go.
    moving = pool.shape[0] >= LATEST and departure(latest, originals) > rules.moving
    beyond = extrapolated_samples(original, shown) if moving else pool[:0]
    before = first if known is version_1 else p_values_of(known, impostors)
    outcome = evaluate_candidate(
        calibrated.p_values(held_back),
        calibrated.p_values(spared),
        latest,
        first,
        before,
        after,
        (p_values_of(version_1, beyond), p_values_of(model.detector, beyond)),
        alert_budget=alert_budget,
        originals=originals,
        calibrated=known.calibration_.scores.size,
        rules=rules,
    )
    # The next retraining finds the originals in front, whether this one learnt them or not.
    kept = union_indices(everything.shape[0], learnt, np.arange(original.shape[0]))
    if kept.size > learnt.size:
        model = replace(model, samples=stored(everything[kept]))
    return Candidate(model, outcome)


def again(
    detector: Detector, current: Model, cold_start: int, admission: Admission | None
) -> Detector:
    """A detector of one kind, fitted on what a model of another kind has learnt."""
    fitted: Detector = clone(detector).fit(current.samples.astype(np.float64))
    pooled = current.samples.shape[0] - cold_start
    reweight_calibration(fitted, *censored_counts(pooled, fitted.alert_budget, admission))
    return fitted


def training_indices(original: int, pool: int, policy: Policy) -> NDArray[np.int64]:
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


def union_indices(count: int, *positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions below ``count`` that are among any of these, ascending."""
    told = np.zeros(count, dtype=np.bool_)
    for some in positions:
        told[some] = True
    return np.flatnonzero(told)


def censored_counts(
    pooled: int, alert_budget: float, admission: Admission | None
) -> tuple[int, int]:
    """How many samples ``pooled`` ones stand for that are not among them.

    First those that were called anomalies, then borderline ones that were not drawn (Horvitz,
    Thompson, 1952).

    Args:
        pooled: how many were admitted.
        alert_budget: share of normal samples that are called anomalous, 0–1.
        admission: what admitted them; None where all that was accepted was.
    """
    thinned = 0.0
    if admission is not None:
        borderline = max(admission.clear_from - alert_budget, 0.0)
        thinned = borderline * (1.0 - admission.borderline_share)
    stands_for = pooled / (1.0 - alert_budget - thinned)
    return round(stands_for * alert_budget), round(stands_for * thinned)


def reweight_calibration(detector: Detector, rejected: int, thinned: int = 0) -> None:
    """Put back into a calibration what of normal could not be pooled.

    Were the scores of pooled samples taken for all of normal, the threshold would rise, and more
    so with each retraining. What was rejected counts as the lowest scores, which are then there
    twice; what was borderline and not drawn, as scores spread evenly over the borderline ones.

    Args:
        detector: fitted; its calibration and threshold are replaced.
        rejected: how many below the threshold are missing.
        thinned: how many borderline ones are missing.
    """
    known = detector.calibration_
    if not known.scores.size or not rejected + thinned:
        return
    few, many = (share * known.scores.size for share in (detector.alert_budget, BORDERLINE))
    spread = np.linspace(few, max(few, many - 1.0), thinned).round().astype(np.int64)
    again = np.concatenate([known.scores[:rejected], known.scores[spread]])
    base = Calibration.fit(np.concatenate([known.scores, again]))
    learnt = {field.name: getattr(base, field.name) for field in fields(base)}
    detector.calibration_ = replace(known, **learnt)
    detector.offset_ = detector.calibration_.offset(detector.alert_budget)


def scores_out_of_sample(
    detector: Detector, samples: Floats, learnt: NDArray[np.int64], original: int
) -> tuple[Floats, Floats]:
    """Scores of some original samples and of the latest pooled ones by a model without them.

    The probe is the candidate's own kind of model, trained on the rest of what it learns.

    Args:
        detector: of the candidate's parameters.
        samples: originals, then the pool, shape (n, d).
        learnt: positions of what the candidate learns.
        original: how many originals there are.
    """
    pool = samples.shape[0] - original
    held_back = np.arange(samples.shape[0] - max(1, round(HELD_BACK * pool)), samples.shape[0])
    spared = np.arange(SPARED - 1, original, SPARED)
    seen = union_indices(samples.shape[0], learnt, held_back, spared)
    block = np.searchsorted(seen, np.concatenate([spared, held_back]))
    scores = detector._held_out(samples[seen], block)
    return scores[: spared.size], scores[spared.size :]


def p_values_of(detector: Detector, rows: Floats) -> Floats:
    """P-values of rows, shape (n,)."""
    if not rows.shape[0]:
        return np.empty(0)
    return detector.calibration_.p_values(packing.score_rows(detector.block_, rows))


def detector_name(model: Model) -> str:
    """Name in ``models.DETECTORS`` of a model's detector."""
    said = model.provenance.get("detector")
    return said if said in DETECTORS else type(model.detector).__name__.lower()
