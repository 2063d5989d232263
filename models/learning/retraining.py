"""Retraining: original and accepted samples to a candidate that the gate has judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from models.artifacts import Model
from models.calibration.conformal import FEW
from models.calibration.evidence import Evidence, weigh
from models.detectors import SEQUENTIAL, detector_of
from models.detectors.base import Detector, Floats
from models.detectors.registry import DETECTORS, make
from models.kernels import block as packing
from models.learning.admission import DEFAULT as ADMISSION
from models.learning.admission import Admission
from models.learning.candidate import (
    Candidate,
    Policy,
    times_of,
    training_indices,
    union_indices,
)
from models.learning.censoring import censored_counts, rejected_share, reweight_calibration
from models.learning.gate import (
    DEFAULT,
    FOLLOWING,
    GUESSED,
    Gate,
    GateResult,
    departure,
    evaluate_candidate,
)
from models.learning.impostors import extrapolated_samples, synthetic
from models.learning.sequential_retraining import retrain_in_order
from models.learning.training import stored, train

HELD_BACK = 0.2
"""Share of the pool, the latest, on which a probe is judged."""

SPARED = 5
"""Every so many-th original sample is held back from the probe."""

MOST_VOUCHED = 500
"""So many accepted samples, the latest, stand among the original ones."""

LATEST = 40
"""So many of the latest pooled samples are shown to version 1."""


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
    vouched: NDArray[np.bool_] | None = None,
    follow_drift: bool = False,
    times: Floats | None = None,
    alarmed: tuple[int, int] = (0, 0),
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
        admission: what chose the pool; None if all that was accepted is in it.
        vouched: which pooled samples an analyst accepted, shape (n,); None for none. From now on
            they stand among the original ones, so that the gate measures against them, too;
            ``cold_start`` in provenance counts them, and ``vouched`` says how many they are.
        follow_drift: drift was told, now or of an earlier version that followed it, and the kind
            is one whose new normal is adopted: the gate lets a candidate pass that moves with it,
            and ``followed_drift`` in provenance says so.
        times: of the pool, shape (n,), if each sample has one.
        alarmed: what ``rejected_share`` asks for; said of profiles that began with a handful.

    Raises:
        ValueError: the pool is empty, or has another width than the model; or no original samples.
    """
    width = current.samples.shape[1]
    if pool.ndim != 2 or pool.shape[0] == 0 or pool.shape[1] != width:
        raise ValueError(f"pool has the shape {pool.shape}, expected (1 or more, {width})")
    if cold_start < 1:
        raise ValueError(f"cold_start is {cold_start}, expected 1 or more")
    known_samples = current.learnt()
    pool = without_unseen(known_samples, pool)
    was = detector_name(current)
    name = detector_of(detector or was, cold_start + pool.shape[0])
    if name in SEQUENTIAL:
        everything = np.concatenate([known_samples[:cold_start], pool])
        return retrain_in_order(
            current,
            everything,
            times_of(current, cold_start, times),
            training_indices(cold_start, pool.shape[0], policy),
            name=name,
            held_back=max(1, round(HELD_BACK * pool.shape[0])),
            alert_budget=alert_budget,
            seed=seed,
            provenance={
                # What an analyst accepted stays in the pool.
                **{told: of for told, of in provenance.items() if told != "vouched_offset"},
                "policy": policy,
                **({} if name == was else {"detector_before": was}),
            },
            rules=rules,
        )
    told = int(current.provenance.get("vouched", 0))
    own = known_samples[: cold_start - told]
    accepted = known_samples[cold_start - told : cold_start]
    judged = None
    if vouched is not None and vouched.any():
        # The gate judges what would have been learnt without them.
        judged = GateResult(True, "vouched for", {"vouched": int(vouched.sum())})
        if not vouched.all():
            judged = retrain(
                current, pool[~vouched], strangers, policy=policy, cold_start=cold_start,
                alert_budget=alert_budget, seed=seed, provenance=provenance, detector=detector,
                rules=rules, admission=admission, follow_drift=follow_drift, alarmed=alarmed,
            ).outcome  # fmt: skip
        accepted = np.concatenate([accepted, pool[vouched]])[-MOST_VOUCHED:]
        pool = pool[~vouched]
    told = accepted.shape[0]
    original = np.concatenate([own, accepted])
    everything = np.concatenate([original, pool])
    learnt = training_indices(original.shape[0], pool.shape[0], policy)
    vouched_for = np.arange(original.shape[0] - told, original.shape[0])
    learnt = union_indices(everything.shape[0], learnt, vouched_for)
    # What an analyst accepted has another place than its time gives it.
    every = None if told else times_of(current, cold_start, times)
    probed = make(name, alert_budget=alert_budget, seed=seed)
    if name != was or judged is not None:
        before = np.concatenate([original, known_samples[cold_start:]])
        known = again(probed, before, original.shape[0], told, admission)
    else:
        known = current.row_detector
    said: dict[str, Any] = {} if name == was else {"detector_before": was}
    if follow_drift:
        said["followed_drift"] = True
    if told:
        said |= {"cold_start": original.shape[0], "vouched": told}
    evidence = weigh(everything, original.shape[0], told)
    spared, held_back = scores_out_of_sample(
        probed, everything, learnt, original.shape[0], evidence
    )
    model = train(
        name,
        everything[learnt],
        current.features,
        alert_budget=alert_budget,
        seed=seed,
        provenance={**provenance, "policy": policy, **said},
        latest=held_back,
        # Versions whose calibrations came about in different ways hardly compare.
        suspected=getattr(known, "in_blocks_", False),
        evidence=evidence.of(learnt),
        times=None if every is None else every[learnt],
    )
    fitted = model.row_detector
    pooled = int((learnt >= original.shape[0]).sum())
    rejected = alert_budget
    if follow_drift and evidence.kept[: original.shape[0]].sum() < FEW:
        rules, rejected = GUESSED, rejected_share(*alarmed, alert_budget)
    elif follow_drift:
        rules = FOLLOWING
    counts = censored_counts(pooled, rejected, admission)
    reweight_calibration(fitted, learnt.size, learnt.size - pooled, *counts)
    calibrated = fitted.calibration_
    impostors = np.concatenate([strangers, synthetic(original)])
    version_1 = known
    if current.samples.shape[0] > cold_start or type(version_1) is not type(fitted):
        version_1 = clone(fitted).fit(original, evidence=weigh(original, None, told))
    # Thinned scores are fewer, but the gate stays as strict as it is with all of them.
    originals, calibrated_by = (
        max(round(one.calibration_.scores.size / evidence.worth), 1) for one in (version_1, known)
    )
    shown = pool[evidence.kept[original.shape[0] :]][-LATEST:]
    seen_by_first = p_values_of(version_1, np.concatenate([shown, impostors]))
    latest, first = seen_by_first[: shown.shape[0]], seen_by_first[shown.shape[0] :]
    if told and shown.size:
        # Of two sorts of normal each has its own level of scores.
        latest = np.fmax(latest, p_values_of(clone(fitted).fit(own), shown))
    after = p_values_of(fitted, impostors)
    # Fewer tell too little of where they go.
    moving = pool.shape[0] >= LATEST and departure(latest, originals) > rules.moving
    beyond = extrapolated_samples(own, shown) if moving else pool[:0]
    by_known = first if known is version_1 else p_values_of(known, impostors)
    outcome = evaluate_candidate(
        calibrated.p_values(held_back),
        calibrated.p_values(spared),
        latest,
        first,
        by_known,
        after,
        (p_values_of(version_1, beyond), p_values_of(fitted, beyond)),
        alert_budget=alert_budget,
        originals=originals,
        calibrated=calibrated_by,
        worth=evidence.worth,
        rules=rules,
    )
    # The next retraining finds the originals in front, whether this one learnt them or not.
    kept = union_indices(everything.shape[0], learnt, np.arange(original.shape[0]))
    if kept.size > learnt.size:
        every_kept = None if every is None else every[kept]
        stored_again = stored(everything[kept], fitted.typical_)._asdict()
        model = replace(model, **stored_again, times=every_kept)
    return Candidate(model, judged or outcome)


def again(
    detector: Detector,
    samples: Floats,
    originals: int,
    vouched: int,
    admission: Admission | None,
) -> Detector:
    """A detector of one kind, fitted on what a model of another kind, or of fewer, has learnt.

    Args:
        samples: shape (n, d), the original ones first.
        originals: how many these are.
        vouched: how many of them, the last ones, an analyst accepted.
    """
    fitted: Detector = clone(detector).fit(samples, evidence=weigh(samples, originals, vouched))
    learnt = samples.shape[0]
    censored = censored_counts(learnt - originals, fitted.alert_budget, admission)
    reweight_calibration(fitted, learnt, originals, *censored)
    return fitted


def without_unseen(learnt: Floats, pool: Floats) -> Floats:
    """The pool without the features that no learnt sample has: the model could not judge them."""
    unseen = np.isnan(learnt).all(axis=0)
    return np.where(unseen, np.nan, pool) if unseen.any() else pool


def scores_out_of_sample(
    detector: Detector,
    samples: Floats,
    learnt: NDArray[np.int64],
    original: int,
    evidence: Evidence,
) -> tuple[Floats, Floats]:
    """Scores of some original samples and of the latest pooled ones by a model without them.

    The probe is the candidate's own kind of model, trained on the rest of what it learns.

    Args:
        detector: of the candidate's parameters.
        samples: originals, then the pool, shape (n, d).
        learnt: positions of what the candidate learns.
        original: how many originals there are.
        evidence: what the samples are worth; what an analyst accepted is not held back.
    """
    pool, kept = samples.shape[0] - original, evidence.kept
    latest = min(pool, max(1, round(HELD_BACK * pool)))
    held_back = np.arange(samples.shape[0] - latest, samples.shape[0])
    spared = np.arange(SPARED - 1, original - int(evidence.vouched.sum()), SPARED)
    spared, held_back = spared[kept[spared]], held_back[kept[held_back]]
    seen = union_indices(samples.shape[0], learnt[kept[learnt]], held_back, spared)
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
