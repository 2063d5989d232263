"""Candidates from elsewhere: a forest of scikit-learn as a detector of a profile, and the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import IsolationForest as Original

from models.artifacts import Model
from models.calibration.conformal import Calibration
from models.calibration.counted import thinned
from models.calibration.evidence import Evidence, weigh
from models.detectors.base import Detector, Floats, typical_ranges
from models.detectors.forest import Forest
from models.detectors.isolation_forest import IsolationForest
from models.kernels import block as packing
from models.learning.admission import DEFAULT as ADMISSION
from models.learning.candidate import Candidate, union_indices
from models.learning.censoring import censored_counts, reweight_calibration
from models.learning.gate import DEFAULT, Gate, departure, evaluate_candidate
from models.learning.impostors import extrapolated_samples, moments, synthetic
from models.learning.retraining import HELD_BACK, LATEST, SPARED, p_values_of
from models.learning.training import libraries

MOST_TREES = 1000
MOST_BYTES = 16 << 20
"""Of a packed forest: each scorer keeps it in memory."""

ALONE = 40
"""Samples of which one feature is moved far from all others."""

FAR_ALONE = 8.0
"""How far, in standard deviations of the feature."""

SEEN, UNSEEN = 0.05, 0.3
"""Mean p-values of these by a detector that sees the feature, and by one that does not (of what is
nothing out of the ordinary it is ½)."""


class UnfitForest(ValueError):
    """Why an estimator cannot become a detector."""


def detector_from_sklearn(forest: Any, alert_budget: float) -> Forest:
    """A fitted ``sklearn.ensemble.IsolationForest`` as a detector that is not yet calibrated.

    Its trees are checked first: the kernels follow them without looking.

    Raises:
        UnfitForest: of another type, not fitted, too large, or with trees that are none.
    """
    if not isinstance(forest, Original):
        of = f"{type(forest).__module__}.{type(forest).__qualname__}"
        raise UnfitForest(f"expected a sklearn.ensemble.IsolationForest, got {of}")
    try:
        trees = [each.tree_ for each in forest.estimators_]
        chosen = [np.asarray(each) for each in forest.estimators_features_]
        width, drawn = int(forest.n_features_in_), int(forest.max_samples_)
    except (AttributeError, TypeError, ValueError):
        raise UnfitForest("expected a fitted IsolationForest, got one without trees") from None
    if not 1 <= len(trees) <= MOST_TREES or len(chosen) != len(trees):
        raise UnfitForest(f"expected 1 to {MOST_TREES} trees, got {len(trees)}")
    if drawn < 1:
        raise UnfitForest(f"max_samples_: expected 1 or more, got {drawn}")
    for number, (tree, features) in enumerate(zip(trees, chosen, strict=True)):
        wrong = tree_fault(tree, features, width)
        if wrong is not None:
            raise UnfitForest(f"tree {number}: {wrong}")
    imported = IsolationForest.from_sklearn(forest)
    if imported.nbytes > MOST_BYTES:
        raise UnfitForest(f"expected at most {MOST_BYTES} bytes packed, got {imported.nbytes}")
    detector = Forest(n_estimators=len(trees), alert_budget=alert_budget)
    detector.block_ = imported.block_
    detector.n_features_in_ = width
    return detector


def tree_fault(tree: Any, features: Any, width: int) -> str | None:
    """What is wrong with a tree of a file, or None: every node is to be reached exactly once."""
    count = int(tree.node_count)
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    inner = left >= 0
    children = np.concatenate([left[inner], right[inner]])
    at = np.concatenate([np.flatnonzero(inner)] * 2)
    # scikit-learn numbers nodes depth first, so a child comes after its parent.
    if not np.array_equal(np.sort(children), np.arange(1, count)) or (children <= at).any():
        return "expected each node below one before it"
    split = np.asarray(tree.feature)[inner]
    if split.size and not (split.min() >= 0 and split.max() < features.size):
        return f"expected splits by one of {features.size} features"
    if features.size == 0 or features.min() < 0 or features.max() >= width:
        return f"expected features from 0 to {width - 1}"
    if not np.isfinite(np.asarray(tree.threshold)[inner]).all():
        return "expected finite thresholds"
    samples = np.asarray(tree.n_node_samples)
    if samples.min() < 1 or samples.max() > np.iinfo(np.int32).max:
        return "expected 1 or more samples in each node"
    return None


def judge_foreign(
    current: Model,
    detector: Forest,
    *,
    cold_start: int,
    provenance: Mapping[str, Any],
    rules: Gate = DEFAULT,
) -> Candidate:
    """Calibrate a detector from elsewhere on a profile's samples, and judge it; pure.

    The forest stays as it is. Its threshold and p-values come from the samples of the model in
    force; false alarms are counted by a calibration without the samples that are counted. It is
    compared with the model in force itself, whatever its kind: nobody has chosen this kind for
    the profile yet, as settings do for ``retrain``.

    Args:
        current: the model in force; its first ``cold_start`` samples are the original ones.
        detector: of ``detector_from_sklearn``, as wide as the model.
        cold_start: how many of the current model's samples are the original ones, 1 or more.
        provenance: what the caller knows of it; plain JSON values.
        rules: what the gate takes for noise.
    """
    samples, budget = current.learnt(), detector.alert_budget
    count = samples.shape[0]
    told = int(current.provenance.get("vouched", 0))
    original, pool = samples[:cold_start], samples[cold_start:]
    evidence = weigh(samples, cold_start, told)
    scores = packing.score_rows(detector.block_, samples)
    latest = max(1, round(HELD_BACK * (pool.shape[0] or count)))
    held_back = np.arange(count - latest, count)
    spared = np.setdiff1d(np.arange(SPARED - 1, cold_start - told, SPARED), held_back)
    held_back, spared = held_back[evidence.kept[held_back]], spared[evidence.kept[spared]]
    learnt = np.flatnonzero(evidence.kept)
    rest = np.setdiff1d(learnt, union_indices(count, held_back, spared))
    probe = calibrated_on(clone_of(detector), scores, rest, cold_start, evidence)
    fitted = calibrated_on(clone_of(detector), scores, learnt, cold_start, evidence)
    fitted.typical_ = typical_ranges(samples[learnt])
    known = version_1 = current.row_detector
    if pool.shape[0]:
        version_1 = clone(known).fit(original, evidence=weigh(original, None, told))
    originals, calibrated = (
        max(round(one.calibration_.scores.size / evidence.worth), 1) for one in (version_1, known)
    )
    impostors = synthetic(original)
    shown = pool[evidence.kept[cold_start:]][-LATEST:]
    shown_p = p_values_of(version_1, shown)
    moving = shown.shape[0] >= LATEST and departure(shown_p, originals) > rules.moving
    beyond = extrapolated_samples(original, shown) if moving else pool[:0]
    outcome = evaluate_candidate(
        probe.calibration_.p_values(scores[held_back]),
        probe.calibration_.p_values(scores[spared]),
        shown_p,
        p_values_of(version_1, impostors),
        p_values_of(known, impostors),
        p_values_of(fitted, impostors),
        (p_values_of(version_1, beyond), p_values_of(fitted, beyond)),
        alert_budget=budget,
        originals=originals,
        calibrated=calibrated,
        worth=evidence.worth,
        rules=rules,
    )
    blind = blind_features(known, fitted, original)
    outcome = replace(outcome, figures={**outcome.figures, "blind_features": len(blind)})
    if blind:
        names = ", ".join(repr(current.features[at]) for at in blind[:5])
        also = "" if outcome.passed else f"{outcome.why}; "
        outcome = replace(outcome, passed=False, why=f"{also}does not see {names} go astray")
    said = {
        **current.provenance,
        "detector": "forest",
        "parameters": {name: repr(value) for name, value in fitted.get_params().items()},
        "seed": None,
        "samples": count,
        "repeated": fitted.repeated_,
        "far_out": fitted.far_out_,
        "worth": round(fitted.worth_, 4),
        "versions": dict(libraries()),
        **provenance,
    }
    return Candidate(replace(current, detector=fitted, provenance=said), outcome)


def blind_features(known: Detector, other: Detector, original: Floats) -> list[int]:
    """Features in which one detector sees what is far off, and another nothing out of the ordinary.

    A forest that learnt other values of a feature puts all of a profile's into one leaf. The
    stand-in impostors do not show it: they are pushed in all features at once.

    Args:
        original: the profile's original samples, shape (n, d).
    """
    mean, spread = moments(original)
    found = []
    for feature in np.flatnonzero(spread > 0.0):
        rows = original[-ALONE:].copy()
        side = np.where(np.arange(rows.shape[0]) % 2 == 0, FAR_ALONE, -FAR_ALONE)
        rows[:, feature] = mean[feature] + side * np.sqrt(spread[feature])
        seen, also = (float(np.nanmean(p_values_of(by, rows))) for by in (known, other))
        if seen < SEEN and also > UNSEEN:
            found.append(int(feature))
    return found


def clone_of(detector: Forest) -> Forest:
    """The same trees without a calibration."""
    copied: Forest = clone(detector)
    copied.block_, copied.n_features_in_ = detector.block_, detector.n_features_in_
    return copied


def calibrated_on(
    detector: Forest, scores: Floats, some: Any, originals: int, evidence: Evidence
) -> Forest:
    """Calibrate a detector on the scores at some positions; the detector."""
    own = thinned(scores[some], evidence.worth, detector.caution)
    detector.calibration_ = Calibration.fit(own, detector.least_spread)
    detector.offset_ = detector.calibration_.offset(detector.alert_budget)
    detector.in_blocks_ = False
    detector.repeated_, detector.far_out_ = evidence.repeated, evidence.far_out
    detector.worth_ = evidence.worth
    pooled = int((some >= originals).sum())
    if pooled:
        counts = censored_counts(pooled, detector.alert_budget, ADMISSION)
        reweight_calibration(detector, some.size, some.size - pooled, *counts)
    return detector
