"""One sample explained by a model: the answer's fields, whatever the type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.detectors.base import Detector
from models.explanation.importance import agreement, permutation_importance
from models.explanation.lime import TRUSTED, lime
from models.explanation.shapley import Floats, Function, NothingToExplain, shapley


def abnormality(detector: Detector) -> Function:
    """f of a detector: minus its score, the higher, the more abnormal."""

    def f(rows: Floats) -> Floats:
        return np.asarray(-detector.score_samples(np.ascontiguousarray(rows)))

    return f


def most_abnormal(detector: Detector, rows: Floats) -> int:
    """Which of the samples of a record is explained.

    Raises:
        NothingToExplain: none of them can be scored.
    """
    f = abnormality(detector)(rows)
    if np.isnan(f).all():
        raise NothingToExplain("the record holds no evidence that the model can judge")
    return int(np.nanargmax(f))


def ranked(
    names: Sequence[str], values: Floats, most: int, wanted: Sequence[str] | None
) -> list[dict[str, float]]:
    """The largest values by size, each as name → value.

    Args:
        wanted: only these features; None for all.
    """
    order = np.argsort(-np.abs(values), kind="stable")
    kept = [at for at in order if wanted is None or names[at] in wanted]
    return [{names[at]: float(values[at])} for at in kept[:most]]


def explain_sample(
    detector: Detector,
    names: Sequence[str],
    x: Floats,
    training: Floats,
    explanation_type: str,
    *,
    num_features: int = 10,
    wanted: Sequence[str] | None = None,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """A ``contributions``, ``shap`` or ``lime`` explanation of one sample.

    Args:
        x: shape (d,), NaN where absent.
        training: shape (m, d), the model's own training samples.

    Raises:
        NothingToExplain: there is no evidence to explain.
    """
    f = abnormality(detector)
    own = detector.contributions(x[None, :])[0]
    if explanation_type == "contributions":
        if not own.any():
            raise NothingToExplain("the sample holds no feature to explain")
        return {"feature_importance": ranked(names, own, num_features, wanted), "metadata": {}}
    if explanation_type == "lime":
        local = lime(f, x, training, generator)
        told = {
            "weights": {n: float(v) for n, v in zip(names, local.weights, strict=True)},
            "intercept": local.intercept,
            "r2": local.r2,
            "trusted": local.trusted,
        }
        if not local.trusted:
            told["warning"] = (
                f"R² is {local.r2:.2f}, below {TRUSTED}: the linear model does not say how the "
                "model behaves near this sample; take shap"
            )
        return {
            "lime_explanation": told,
            "feature_importance": ranked(names, local.weights, num_features, wanted),
            "metadata": {},
        }
    found = shapley(f, x, training, generator)
    return {
        "shap_values": {
            "values": {n: float(v) for n, v in zip(names, found.values, strict=True)},
            "base_value": found.base_value,
            "value": found.value,
            "standard_errors": {n: float(v) for n, v in zip(names, found.errors, strict=True)},
        },
        "feature_importance": ranked(names, found.values, num_features, wanted),
        "metadata": {
            "permutations": found.permutations,
            "background": found.background,
            "agreement": agreement(own, np.maximum(found.values, 0.0)),
        },
    }


def explain_permutation(
    detector: Detector,
    names: Sequence[str],
    rows: Floats,
    labels: Floats,
    weights: Floats,
    *,
    num_features: int = 10,
    wanted: Sequence[str] | None = None,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """A ``permutation`` explanation of recent records of one profile.

    Raises:
        NothingToExplain: there are fewer than two records.
    """
    found = permutation_importance(abnormality(detector), rows, generator, labels, weights)
    return {
        "feature_importance": ranked(names, found.mean, num_features, wanted),
        "features": [
            {"name": n, "mean": float(m), "deviation": float(s)}
            for n, m, s in zip(names, found.mean, found.deviation, strict=True)
        ],
        "metadata": {"of": found.of, "records": int(rows.shape[0])},
    }
