"""The detectors and their peer behind one face: learn a profile, score rows, give thresholds."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import IsolationForest

from models.detectors.registry import make
from models.evaluation.datasets.tasks import Floats
from models.evaluation.results import PEER


@dataclass(frozen=True)
class Scorer:
    """A fitted detector.

    Attributes:
        score: rows, shape (n, d) → scores, the higher the more normal; NaN without evidence.
        offset: budget → the score below which a row is an anomaly.
        rarity: scores → how rare they are, alike across profiles: minus the log of the p-value.
        fit_seconds: what learning took.
        model_bytes: size of the model.
    """

    score: Callable[[Floats], Floats]
    offset: Callable[[float], float]
    rarity: Callable[[Floats], Floats]
    fit_seconds: float
    model_bytes: int


def fit(name: str, train: Floats, seed: int) -> Scorer:
    """Learn ``train``, shape (n, d), with the detector of that name, or with the peer."""
    if name == PEER:
        return _peer(train, seed)
    start = time.perf_counter()
    detector = make(name, seed=seed).fit(train)
    seconds = time.perf_counter() - start
    calibration = detector.calibration_
    return Scorer(
        detector.score_samples,
        calibration.offset,
        lambda scores: -np.log(calibration.p_values(scores)),
        seconds,
        detector.nbytes,
    )


def _peer(train: Floats, seed: int) -> Scorer:
    """scikit-learn's forest as it comes, thresholds by its ``contamination``."""
    start = time.perf_counter()
    forest = IsolationForest(random_state=seed).fit(train)
    seconds = time.perf_counter() - start
    learned = forest.score_samples(train)
    return Scorer(
        forest.score_samples,
        lambda budget: float(np.percentile(learned, 100.0 * budget)),
        lambda scores: -np.asarray(scores),
        seconds,
        len(pickle.dumps(forest)),
    )
