"""Reasons of a verdict: the features of an abnormal sample by their share in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.batch_scoring import explain_batch

Floats = NDArray[np.float64]

MAX_REASONS = 10
"""Features that are named, at most."""

Reasons = list[dict[str, Any]]
"""Feature, value, typical range and share of each, the largest share first."""


def reasons(models: Sequence[Model], rows: Floats) -> list[Reasons]:
    """Why each of some samples is abnormal: its features by their share in it, the largest first.

    Args:
        models: of each row.
        rows: shape (n, features), of models that have as many.
    """
    shares = explain_batch([model.bench for model in models], rows)
    columns = np.argsort(-shares, axis=1, kind="stable")[:, :MAX_REASONS]
    typical = np.array([model.detector.typical_.T for model in models])
    chosen = np.arange(len(rows))[:, np.newaxis], columns
    numbers = (columns, rows[chosen], typical[chosen], shares[chosen])
    found = zip(models, *(each.tolist() for each in numbers), strict=True)
    return [
        [
            {"feature": model.features[at], "value": value, "typical": usual, "contribution": share}
            for at, value, usual, share in zip(*numbers, strict=True)
            if share > 0
        ]
        for model, *numbers in found
    ]
