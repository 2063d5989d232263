"""Figures after each twentieth of labelled records, and of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from console.jobs.context import Context
from console.lab.triage.figures import auc, confusion, finite, roc, scores

PARTS: Final = 20


@dataclass
class Judged:
    """Verdicts with their labels so far.

    Attributes:
        y: 1 for an anomaly, 0 for a normal record.
        alarmed: what was said at the budget.
        score: the higher, the more abnormal; of one scale.
        profile: whose it was.
        weight: 1 divided by the chance of being labelled.
    """

    y: list[int] = field(default_factory=list)
    alarmed: list[bool] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    profile: list[str] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)

    def add(self, y: int, alarmed: bool, score: float, profile: str, weight: float = 1.0) -> None:
        """Note a verdict and its label."""
        self.y.append(y)
        self.alarmed.append(alarmed)
        self.score.append(score)
        self.profile.append(profile)
        self.weight.append(weight)

    def report(self, context: Context, part: int, records: int, parts: int = PARTS) -> None:
        """Add a frame: loss is 1 − AUC so far, accuracy the balanced one; null without labels."""
        y, said = np.array(self.y, dtype=np.int64), np.array(self.alarmed, dtype=np.bool_)
        weight = np.array(self.weight)
        area = auc(y, np.array(self.score), weight) if len(y) else float("nan")
        rates = [
            float(np.average(said[y == label] == bool(label), weights=weight[y == label]))
            for label in (0, 1)
            if (y == label).any()
        ]
        context.report(
            epoch=part,
            epochs=parts,
            loss=finite(1 - area),
            accuracy=sum(rates) / 2 if len(rates) == 2 else None,
            records=records,
        )

    def figures(self, seed: int = 0) -> dict[str, Any]:
        """Scores, confusion matrix and ROC of all of them; nothing without labels."""
        if not self.y:
            return {}
        y, said = np.array(self.y, dtype=np.int64), np.array(self.alarmed, dtype=np.bool_)
        weight = np.array(self.weight)
        numbers: dict[str, int] = {}
        profile = np.array([numbers.setdefault(each, len(numbers)) for each in self.profile])
        return {
            "scores": scores(y, said, weight),
            "confusion_matrix": confusion(y, said),
            "roc_curve": roc(y, np.array(self.score), weight, profile, seed),
            "labels": len(y),
        }


def p_score(verdict: dict[str, Any]) -> float:
    """−log₁₀ of the p-value: the only number that compares profiles."""
    return float(-np.log10(max(verdict.get("p_value") or 1.0, 1e-12)))


ABNORMAL: Final = frozenset(("1", "1.0", "true", "anomaly", "anomalous", "abnormal", "bad", "yes"))


def is_abnormal(value: Any) -> bool:
    """Whether a target says that a row is abnormal: 1, true, anomaly and the like.

    >>> is_abnormal(1), is_abnormal("Anomaly"), is_abnormal(0)
    (True, True, False)
    """
    return str(value).strip().lower() in ABNORMAL
