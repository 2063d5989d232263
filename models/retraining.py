"""Retraining: original and accepted samples to a candidate that the gate has judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal, assert_never

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from models import _pack
from models.admission import DEFAULT as ADMISSION
from models.admission import Admission
from models.artifacts import Model
from models.calibration import Calibration
from models.detector import Detector, Floats
from models.detectors import DETECTORS, make
from models.gate import DEFAULT, Gate, Outcome, departure, judge
from models.training import FLOAT32_MAX, stored, train

Policy = Literal["grow", "slide", "blend"]

HELD_BACK = 0.2
"""Share of the pool, the latest, on which a probe is judged."""

SPARED = 5
"""Every so many-th original sample is held back from the probe."""

SYNTHETIC = 100
"""Stand-in impostors that are made from the original samples."""

AHEAD = (1.0, 2.0, 4.0)
"""How far beyond the latest pooled samples the gate looks, in what they have moved already."""

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
    detector: str | None = None,
    rules: Gate = DEFAULT,
    admission: Admission | None = ADMISSION,
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
    learnt = chosen(original.shape[0], pool.shape[0], policy)
    was = detector_name(current)
    name = detector or was
    probed = make(name, alert_budget=alert_budget, seed=seed)
    known = current.detector if name == was else again(probed, current, cold_start, admission)
    moved_over = {} if name == was else {"detector_before": was}
    spared, held_back = out_of_sample(probed, everything, learnt, original.shape[0])
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
    complete(model.detector, *missing(pooled, alert_budget, admission))
    calibrated = model.detector.calibration_
    impostors = np.concatenate([strangers, synthetic(original)])
    version_1 = known
    if current.samples.shape[0] > cold_start or type(version_1) is not type(model.detector):
        version_1 = clone(model.detector).fit(original)
    originals = max(version_1.calibration_.scores.size, 1)
    shown = pool[-LATEST:]
    seen_by_first = rarity(version_1, np.concatenate([shown, impostors]))
    latest, first = seen_by_first[: shown.shape[0]], seen_by_first[shown.shape[0] :]
    after = rarity(model.detector, impostors)
    # Fewer tell too little of where they go.
    moving = pool.shape[0] >= LATEST and departure(latest, originals) > rules.moving
    beyond = ahead(original, shown) if moving else pool[:0]
    before = first if known is version_1 else rarity(known, impostors)
    outcome = judge(
        calibrated.p_values(held_back),
        calibrated.p_values(spared),
        latest,
        first,
        before,
        after,
        (rarity(version_1, beyond), rarity(model.detector, beyond)),
        alert_budget=alert_budget,
        originals=originals,
        calibrated=known.calibration_.scores.size,
        rules=rules,
    )
    # The next retraining finds the originals in front, whether this one learnt them or not.
    kept = any_of(everything.shape[0], learnt, np.arange(original.shape[0]))
    if kept.size > learnt.size:
        model = replace(model, samples=stored(everything[kept]))
    return Candidate(model, outcome)


def again(
    detector: Detector, current: Model, cold_start: int, admission: Admission | None
) -> Detector:
    """A detector of one kind, fitted on what a model of another kind has learnt."""
    fitted: Detector = clone(detector).fit(current.samples.astype(np.float64))
    pooled = current.samples.shape[0] - cold_start
    complete(fitted, *missing(pooled, fitted.alert_budget, admission))
    return fitted


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


def any_of(count: int, *positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions below ``count`` that are among any of these, ascending."""
    told = np.zeros(count, dtype=np.bool_)
    for some in positions:
        told[some] = True
    return np.flatnonzero(told)


def missing(pooled: int, alert_budget: float, admission: Admission | None) -> tuple[int, int]:
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


def complete(detector: Detector, rejected: int, thinned: int = 0) -> None:
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


def out_of_sample(
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
    seen = any_of(samples.shape[0], learnt, held_back, spared)
    block = np.searchsorted(seen, np.concatenate([spared, held_back]))
    scores = detector._held_out(samples[seen], block)
    return scores[: spared.size], scores[spared.size :]


def rarity(detector: Detector, rows: Floats) -> Floats:
    """P-values of rows, shape (n,)."""
    if not rows.shape[0]:
        return np.empty(0)
    return detector.calibration_.p_values(_pack.score(detector.block_, rows))


def detector_name(model: Model) -> str:
    """Name in ``models.DETECTORS`` of a model's detector."""
    said = model.provenance.get("detector")
    return said if said in DETECTORS else type(model.detector).__name__.lower()


def ahead(original: Floats, latest: Floats) -> Floats:
    """Samples that go on where the latest have gone: moved once, twice, four times as far again."""
    latest = np.clip(latest, -FLOAT32_MAX, FLOAT32_MAX)
    move = moved(original, latest)
    return np.concatenate([latest + far * move for far in AHEAD])


def moved(original: Floats, latest: Floats) -> Floats:
    """How far the mean of each feature has moved, shape (d,), shrunk by what chance alone does.

    The positive-part estimator of James and Stein (1961), in standard errors.
    """
    mean, (was, spread) = moments(latest)[0], moments(original)
    move, error = mean - was, spread / max(latest.shape[0], 1) + spread / original.shape[0]
    told = error > 0.0
    if not told.any():
        return np.zeros_like(move)
    with np.errstate(over="ignore"):
        distance = float((move[told] ** 2 / error[told]).sum())
    return np.asarray(move * max(0.0, 1.0 - told.sum() / max(distance, 1e-300)))


def moments(samples: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of each feature, shape (d,) each; 0 of nothing."""
    known = ~np.isnan(samples)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, samples, 0.0).sum(axis=0) / count
    return mean, np.where(known, (samples - mean) ** 2, 0.0).sum(axis=0) / count


def synthetic(original: Floats) -> Floats:
    """Stand-in impostors, shape (100, d), the same for the same originals.

    Original samples, pushed by one to four standard deviations of each feature at random, so that
    some are near and some are far; NaN where the sample has none.
    """
    which, push = drawn(*original.shape)
    return np.asarray(original[which] + push * np.sqrt(moments(original)[1]), dtype=np.float64)


@lru_cache(maxsize=16)
def drawn(samples: int, width: int) -> tuple[NDArray[np.int64], Floats]:
    """Samples that are pushed, and how far each of their features, in standard deviations."""
    generator = np.random.default_rng(0)
    which = generator.integers(samples, size=SYNTHETIC)
    push = generator.normal(size=(SYNTHETIC, width))
    return which, push * generator.uniform(1.0, 4.0, size=(SYNTHETIC, 1))
