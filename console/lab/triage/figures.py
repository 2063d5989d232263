"""How good a classifier is: scores, ROC with intervals, what it finds among the first alerts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_curve,
)

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
DRAWS: Final = 1000
LOOKED: Final = (0.1, 0.25, 0.5)
"""Shares of the alerts that somebody looks at."""

POINTS: Final = 500
"""Of a curve, at most."""


def scores(y: Labels, said: NDArray[np.bool_], weight: Floats) -> dict[str, float | None]:
    """Accuracy, precision, recall and F1; null where nothing could be counted.

    >>> scores(np.array([1, 0, 1]), np.array([True, False, False]), np.ones(3))["recall"]
    0.5
    """
    if not len(y):
        return dict.fromkeys(("accuracy", "precision", "recall", "f1_score"))
    options: dict[str, Any] = {"sample_weight": weight, "zero_division": np.nan}
    found = {
        "accuracy": accuracy_score(y, said, sample_weight=weight),
        "precision": precision_score(y, said, **options),
        "recall": recall_score(y, said, **options),
        "f1_score": f1_score(y, said, **options),
    }
    return {name: finite(value) for name, value in found.items()}


def roc(y: Labels, score: Floats, weight: Floats, profile: Labels, seed: int) -> dict[str, Any]:
    """The ROC curve, its area (ties count half) and the area's interval by profiles, 95 %.

    Null areas if there is one class alone.
    """
    if len(set(y.tolist())) < 2:
        return {"fpr": [], "tpr": [], "thresholds": [], "auc": None, "auc_interval": None}
    fpr, tpr, thresholds = roc_curve(y, score, sample_weight=weight)
    if len(fpr) > POINTS:
        kept = np.unique(np.linspace(0, len(fpr) - 1, POINTS).astype(int))
        fpr, tpr, thresholds = fpr[kept], tpr[kept], thresholds[kept]

    def area(rows: NDArray[np.int64]) -> float:
        return auc(y[rows], score[rows], weight[rows])

    return {
        "fpr": fpr.tolist(),
        "tpr": tpr.tolist(),
        # The first threshold is beyond every score: JSON has no infinity.
        "thresholds": [finite(value) for value in thresholds.tolist()],
        "auc": area(np.arange(len(y))),
        "auc_interval": interval(area, profile, seed),
    }


def auc(y: Labels, score: Floats, weight: Floats) -> float:
    """Area under the ROC curve, ties counted half; NaN if there is one class alone.

    As scikit-learn's, which takes a hundred times as long and is asked for a thousand draws.

    >>> auc(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]), np.ones(3))
    0.75
    """
    _, place = np.unique(score, return_inverse=True)
    true = np.bincount(place, weights=weight * (y == 1))
    false = np.bincount(place, weights=weight * (y == 0))
    pairs = true.sum() * false.sum()
    if pairs == 0:
        return float("nan")
    below = np.cumsum(false) - false
    return float((true * (below + false / 2)).sum() / pairs)


def share_of(y: Labels, said: NDArray[np.bool_], weight: Floats, name: str) -> float:
    """Precision or recall; NaN where nothing could be counted."""
    hit = float((weight * (said & (y == 1))).sum())
    of = said if name == "precision" else y == 1
    total = float((weight * of).sum())
    return hit / total if total else float("nan")


def interval(measure: Any, profile: Labels, seed: int, draws: int = DRAWS) -> list[float] | None:
    """Percentile interval of a measure at 95 %, profiles drawn with replacement.

    Args:
        measure: rows → a number, or NaN.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(profile == each) for each in np.unique(profile)]
    if len(members) < 2:
        return None
    drawn = rng.integers(len(members), size=(draws, len(members)))
    found = [measure(np.concatenate([members[at] for at in draw])) for draw in drawn]
    good = [value for value in found if np.isfinite(value)]
    if len(good) < draws / 2:
        return None
    return [float(value) for value in np.quantile(good, (0.025, 0.975))]


def confusion(y: Labels, said: NDArray[np.bool_]) -> list[list[int]]:
    """[[TN, FP], [FN, TP]]."""
    found: list[list[int]] = confusion_matrix(y, said, labels=[0, 1]).tolist()
    return found


def found_first(
    y: Labels, ranked: Floats, usual: Floats, shares: Sequence[float] = LOOKED
) -> list[dict[str, Any]]:
    """True alerts among the first ones of two orders, at the same number looked at.

    Args:
        ranked, usual: the higher, the earlier.
    """
    orders = [np.argsort(-each, kind="stable") for each in (ranked, usual)]
    told = []
    for share in shares:
        looked = max(1, round(share * len(y)))
        by_triage, by_p = (int(y[order[:looked]].sum()) for order in orders)
        told.append(
            {
                "share": share,
                "looked_at": looked,
                "true_by_triage": by_triage,
                "true_by_p_value": by_p,
                "true_by_chance": float(y.mean() * looked) if len(y) else 0.0,
            }
        )
    return told


def finite(value: Any) -> float | None:
    """A number as JSON has it; null for what is none."""
    return float(value) if value is not None and np.isfinite(value) else None
