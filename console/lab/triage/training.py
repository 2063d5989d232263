"""The algorithms of triage, trained epoch by epoch; scikit-learn does the learning."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from console.lab.triage.features import Algorithm

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
TREES: Final = 10
"""Of a forest, by epoch."""

CLASSES: Final = np.array([0, 1])


@dataclass(frozen=True)
class Epoch:
    """Figures after an epoch.

    Attributes:
        loss, val_loss: log loss.
        accuracy, val_accuracy: share right at ½, 0–1.
    """

    number: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class Part:
    """Rows to learn from, or to look at: x of shape (n, f), y and weight of shape (n,)."""

    x: Floats
    y: Labels
    weight: Floats


def train(
    algorithm: Algorithm,
    training: Part,
    validation: Part,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    tell: Callable[[Epoch], None],
) -> tuple[Any, int]:
    """Train a model; the pipeline as it was after its best epoch by validation loss, and which.

    Args:
        tell: told of each epoch; may raise to end the training.
    """
    scaler = StandardScaler().fit(training.x)
    scaled = Part(scaler.transform(training.x), training.y, training.weight)
    looked = Part(scaler.transform(validation.x), validation.y, validation.weight)
    best, least, chosen = None, np.inf, 0
    for number, model in enumerate(_epochs(algorithm, scaled, epochs, batch_size, seed), start=1):
        loss, accuracy = _figures(model, scaled)
        val_loss, val_accuracy = _figures(model, looked)
        if val_loss < least:
            best, least, chosen = copy.deepcopy(model), val_loss, number
        tell(Epoch(number, loss, accuracy, val_loss, val_accuracy))
    pipeline = make_pipeline(scaler, best)
    # Both steps are fitted; the pipeline only has to know it.
    return pipeline, chosen


def _epochs(
    algorithm: Algorithm, part: Part, epochs: int, batch_size: int, seed: int
) -> Iterator[Any]:
    """The model after each epoch."""
    if algorithm == "random_forest":
        forest = RandomForestClassifier(
            TREES, warm_start=True, random_state=seed, min_samples_leaf=3, n_jobs=1
        )
        for epoch in range(1, epochs + 1):
            forest.n_estimators = TREES * epoch
            yield forest.fit(part.x, part.y, part.weight)
    elif algorithm == "decision_tree":
        for epoch in range(1, epochs + 1):
            tree = DecisionTreeClassifier(max_depth=epoch, random_state=seed, min_samples_leaf=3)
            yield tree.fit(part.x, part.y, part.weight)
    elif algorithm == "logistic_regression":
        linear = SGDClassifier(loss="log_loss", random_state=seed, average=True)
        for _ in range(epochs):
            yield linear.partial_fit(part.x, part.y, CLASSES, part.weight)
    else:
        rng = np.random.default_rng(seed)
        network = MLPClassifier(
            (32, 16), random_state=seed, batch_size=batch_size, learning_rate_init=0.01
        )
        for _ in range(epochs):
            order = rng.permutation(len(part.y))
            for first in range(0, len(order), batch_size):
                rows = order[first : first + batch_size]
                # One step for each batch: the library's own size of a batch is not used then.
                network.set_params(batch_size=len(rows))
                network.partial_fit(part.x[rows], part.y[rows], classes=CLASSES)
            yield network


def probabilities(model: Any, x: Floats) -> Floats:
    """Chance that each alert is confirmed, shape (n,)."""
    found = model.predict_proba(x)
    column = list(model.classes_).index(1) if 1 in model.classes_ else None
    return np.zeros(len(x)) if column is None else np.asarray(found[:, column])


def _figures(model: Any, part: Part) -> tuple[float, float]:
    found = probabilities(model, part.x)
    right = (found >= 0.5) == (part.y == 1)
    loss = log_loss(part.y, found, sample_weight=part.weight, labels=CLASSES)
    return float(loss), float(np.average(right, weights=part.weight))
