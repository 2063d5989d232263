"""Importance of features for many records: by permutation, and by a tree that imitates verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupShuffleSplit
from sklearn.tree import DecisionTreeClassifier, export_text

from models.explanation.shapley import Floats, Function, NothingToExplain
from models.governance.monitoring.rates import auc

TIMES = 10
DEPTH = 3
HELD_OUT = 0.3


@dataclass(frozen=True)
class Importance:
    """Importance of each feature, shape (d,): mean and deviation over the shuffles.

    Attributes:
        of: what falls or changes: ``auc``, or ``abs_change`` of f.
    """

    mean: Floats
    deviation: Floats
    of: str


def permutation_importance(
    f: Function,
    rows: Floats,
    generator: np.random.Generator,
    labels: Floats | None = None,
    weights: Floats | None = None,
) -> Importance:
    """What shuffling a feature among records does: the AUC falls, or |f| changes.

    Args:
        rows: shape (n, d), recent records of one profile.
        labels: shape (n,), 1 abnormal, 0 normal, NaN for none; used if both occur.
        weights: shape (n,), of the labels.

    Raises:
        NothingToExplain: there are fewer than two records.

    Source: Breiman, 2001, section 10.
    """
    if rows.shape[0] < 2:
        raise NothingToExplain("at least two records of the profile are needed")
    before = f(rows)
    labelled = None
    if labels is not None:
        there = ~np.isnan(labels) & ~np.isnan(before)
        if np.unique(labels[there]).size == 2:
            labelled = there
    given = np.ones(rows.shape[0]) if weights is None else weights
    d = rows.shape[1]
    found = np.zeros((TIMES, d))
    for turn in range(TIMES):
        for feature in range(d):
            shuffled = rows.copy()
            shuffled[:, feature] = generator.permutation(rows[:, feature])
            after = f(shuffled)
            if labelled is not None and labels is not None:
                told = labelled & ~np.isnan(after)
                pair = [auc(s[told], labels[told], given[told]) for s in (before, after)]
                found[turn, feature] = pair[0] - pair[1]
            else:
                change = np.abs(after - before)
                found[turn, feature] = np.nanmean(change) if (~np.isnan(change)).any() else 0.0
    of = "abs_change" if labelled is None else "auc"
    return Importance(found.mean(axis=0), found.std(axis=0, ddof=1), of)


def agreement(first: Floats, second: Floats) -> float | None:
    """Spearman's rank correlation of two importances; None where one is constant."""
    ranks = [rankdata(each) for each in (first, second)]
    if first.size < 2 or any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def reasons_in_all(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the reasons of many anomalies say together.

    Args:
        verdicts: anomalies, each with ``severity`` and ``reasons`` of ``feature`` and
            ``contribution``.

    Returns:
        ``mean_contribution`` (feature → mean share over all anomalies), ``first_reason``
        (feature → share of anomalies that name it first), the same ``by_severity``.
    """
    count = len(verdicts)
    mean: dict[str, float] = {}
    first: dict[str, float] = {}
    by_severity: dict[str, dict[str, float]] = {}
    for verdict in verdicts:
        reasons = verdict.get("reasons") or []
        for reason in reasons:
            name = str(reason["feature"])
            mean[name] = mean.get(name, 0.0) + float(reason["contribution"]) / count
        if reasons:
            name = str(reasons[0]["feature"])
            first[name] = first.get(name, 0.0) + 1.0 / count
            own = by_severity.setdefault(str(verdict.get("severity", "none")), {})
            own[name] = own.get(name, 0.0) + 1.0
    for own in by_severity.values():
        whole = sum(own.values())
        for name in own:
            own[name] /= whole
    return {
        "anomalies": count,
        "mean_contribution": _ordered(mean),
        "first_reason": _ordered(first),
        "by_severity": {name: _ordered(own) for name, own in sorted(by_severity.items())},
    }


def _ordered(held: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(held.items(), key=lambda item: (-item[1], item[0])))


def surrogate(
    rows: Floats,
    alarmed: NDArray[np.bool_],
    profiles: NDArray[np.int64],
    names: Sequence[str],
    seed: int = 0,
) -> dict[str, Any] | None:
    """A tree of depth 3 on deviations that imitates the verdicts; None if it cannot be made.

    Args:
        rows: shape (n, d), deviations from each profile's own normal; NaN where absent.
        alarmed: shape (n,), the verdicts.
        profiles: shape (n,); whole profiles are held out to measure it.

    Returns:
        ``rules`` as text, ``balanced_accuracy`` on profiles that it has not seen (null with one
        class among them), ``importance`` by feature, and how many ``records`` and ``profiles``.
    """
    if np.unique(profiles).size < 3 or np.unique(alarmed).size < 2:
        return None
    known = np.nan_to_num(rows, nan=0.0)
    split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=seed)
    seen, unseen = next(split.split(known, alarmed, profiles))
    tree = DecisionTreeClassifier(max_depth=DEPTH, class_weight="balanced", random_state=seed)
    measured = None
    if np.unique(alarmed[seen]).size == 2 and np.unique(alarmed[unseen]).size == 2:
        told = tree.fit(known[seen], alarmed[seen]).predict(known[unseen])
        measured = float(balanced_accuracy_score(alarmed[unseen], told))
    tree.fit(known, alarmed)
    return {
        "rules": export_text(tree, feature_names=list(names), decimals=2),
        "balanced_accuracy": measured,
        "importance": _ordered(
            dict(zip(names, map(float, tree.feature_importances_), strict=True))
        ),
        "records": int(rows.shape[0]),
        "profiles": int(np.unique(profiles).size),
    }
