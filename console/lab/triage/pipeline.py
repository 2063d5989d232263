"""From examples to a model and its figures: split by time, no profile on both sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance

from console.lab.triage.examples import Examples
from console.lab.triage.features import FEATURES, Algorithm
from console.lab.triage.figures import confusion, found_first, interval, roc, scores, share_of
from console.lab.triage.training import Epoch, Part, probabilities, train

LEAST: Final = 10
"""Alerts of each class that each part must hold."""

LATER: Final = 0.5
TESTED: Final = 0.3
VALIDATED: Final = 0.25


class TooFew(Exception):
    """Not enough labels, in a sentence."""


@dataclass(frozen=True)
class Split:
    """Rows of each part."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(examples: Examples, seed: int) -> Split:
    """Earlier alerts of some profiles to learn from, later ones of the others to be tested on.

    Raises:
        TooFew: a part has fewer than `LEAST` alerts of a class.
    """
    count = len(examples.profiles)
    order = np.random.default_rng(seed).permutation(count)
    tested = order[: max(1, round(TESTED * count))]
    rest = order[len(tested) :]
    validated = rest[: max(1, round(VALIDATED * len(rest)))]
    middle = np.quantile(examples.at, LATER) if len(examples.at) else 0
    early, of_test = examples.at < middle, np.isin(examples.profile, tested)
    of_validation = np.isin(examples.profile, validated)
    found = Split(
        np.flatnonzero(early & ~of_test & ~of_validation),
        np.flatnonzero(early & of_validation),
        np.flatnonzero(~early & of_test),
    )
    for name in ("training", "validation", "test"):
        rows = getattr(found, name)
        for label, word in ((1, "confirmed"), (0, "false")):
            held = int((examples.y[rows] == label).sum())
            if held < LEAST:
                raise TooFew(
                    f"labels: expected at least {LEAST} {word} alerts for {name} "
                    f"(split by time, no profile on both sides), got {held}: label more, "
                    "or train on simulated data (simulate: true)"
                )
    return found


def part_of(examples: Examples, rows: NDArray[np.int64]) -> Part:
    """Some rows of the examples."""
    return Part(examples.x[rows], examples.y[rows], examples.weight[rows])


def trained(
    examples: Examples,
    algorithm: Algorithm,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    tell: Callable[[Epoch], None],
) -> tuple[Any, dict[str, Any]]:
    """A trained pipeline and its figures on alerts that it has not seen.

    Raises:
        TooFew: there are not enough labels.
    """
    chosen = split(examples, seed)
    model, epoch = train(
        algorithm,
        part_of(examples, chosen.training),
        part_of(examples, chosen.validation),
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        tell=tell,
    )
    test, profile = part_of(examples, chosen.test), examples.profile[chosen.test]
    found = probabilities(model, test.x)
    said = found >= 0.5
    importance = permutation_importance(
        model, test.x, test.y, scoring="roc_auc", n_repeats=5, random_state=seed, n_jobs=1
    )

    def measured(name: str) -> list[float] | None:
        def measure(rows: NDArray[np.int64]) -> float:
            return share_of(test.y[rows], said[rows], test.weight[rows], name)

        return interval(measure, profile, seed)

    figures = {
        "algorithm": algorithm,
        "best_epoch": epoch,
        "scores": scores(test.y, said, test.weight),
        "intervals": {name: measured(name) for name in ("precision", "recall")},
        "roc_curve": roc(test.y, found, test.weight, profile, seed),
        "confusion_matrix": confusion(test.y, said),
        "feature_importance": {
            "features": list(FEATURES),
            "scores": importance.importances_mean.tolist(),
            "deviations": importance.importances_std.tolist(),
        },
        "found_first": found_first(test.y, found, test.x[:, 0]),
        "alerts": {
            "training": len(chosen.training),
            "validation": len(chosen.validation),
            "test": len(chosen.test),
            "confirmed": int(examples.y.sum()),
            "all": len(examples.y),
        },
    }
    return model, figures
