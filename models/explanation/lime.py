"""LIME: a linear model of f near one sample, and how far it can be trusted.

Source: Ribeiro, Singh, Guestrin, 2016. A neighbour keeps each feature with ½, or takes it from a
random training sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

from models.explanation.shapley import Floats, Function, NothingToExplain

NEIGHBORS = 1000
WIDTH = 0.25
TRUSTED = 0.5
"""Below this R² the linear model does not say how f behaves near the sample."""


@dataclass(frozen=True)
class Local:
    """The linear model.

    Attributes:
        weights: shape (d,), what keeping a feature's value adds to f; 0 for absent ones.
        intercept: f with every feature replaced.
        r2: weighted R² on the neighbours.
    """

    weights: Floats
    intercept: float
    r2: float

    @property
    def trusted(self) -> bool:
        return self.r2 >= TRUSTED


def lime(f: Function, x: Floats, training: Floats, generator: np.random.Generator) -> Local:
    """Explain ``x``, shape (d,), by a ridge regression on which features were kept.

    Args:
        training: shape (m, d), the model's own training samples.

    Raises:
        NothingToExplain: ``x`` holds no feature, or its neighbours cannot be scored.
    """
    present = np.flatnonzero(~np.isnan(x))
    if not present.size or not training.shape[0]:
        raise NothingToExplain("the sample holds no feature to explain")
    kept = generator.random((NEIGHBORS, present.size)) < 0.5
    kept[0] = True
    drawn = training[generator.integers(training.shape[0], size=NEIGHBORS)]
    rows = np.full((NEIGHBORS, x.size), np.nan)
    rows[:, present] = np.where(kept, x[present], drawn[:, present])
    evident = ~np.isnan(rows).all(axis=1)
    values = np.full(NEIGHBORS, np.nan)
    values[evident] = f(rows[evident])
    there = ~np.isnan(values)
    if there.sum() <= present.size + 1:
        raise NothingToExplain("too few neighbours of the sample can be scored")
    replaced = 1.0 - kept.mean(axis=1)
    weight = np.exp(-(replaced**2) / WIDTH**2)[there]
    mask = kept[there].astype(np.float64)
    # Few neighbours lie near when there are many features: a weak ridge keeps weights finite.
    model = Ridge(alpha=1e-3).fit(mask, values[there], sample_weight=weight)
    weights = np.zeros(x.size)
    weights[present] = model.coef_
    r2 = float(model.score(mask, values[there], sample_weight=weight))
    return Local(weights, float(model.intercept_), r2)
