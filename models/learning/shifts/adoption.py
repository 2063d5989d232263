"""A new normal: whether a profile's abnormal records agree, and the model that knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.artifacts import Model
from models.calibration.evidence import far_out
from models.detectors.base import Floats
from models.detectors.registry import make
from models.learning.gate import at_least
from models.learning.impostors import moments
from models.learning.training import train

TOLERANCE = 5.0
"""The second half of abnormal samples may exceed the budget of a model of the first so often."""

DOUBT = 0.05
"""Chance at which more than that is taken for disagreement, 0–1."""

KNOWN_FACTOR = 2
"""Of what a profile knew, so many times the new samples are trained on at most."""

FAR = 10.0
"""A model of both normals has to notice what is so many deviations away from the new one."""

APART = 3.0 * FAR
"""What is known and what is new are so many deviations apart if something can lie between them."""

SPARED = 0.05
"""Share of that which it may miss beyond what a model of the new one alone misses, 0–1."""

PROBES, MOVED = 50, 10
"""Samples that are pushed away for that, and features that an event names."""


def agree(samples: Floats, detector: str, *, alert_budget: float, seed: int) -> bool:
    """Whether a model of the first half of samples accepts the second half.

    Args:
        samples: abnormal ones in their order, shape (n, d), n ≥ 6.
        detector: name in ``models.DETECTORS``.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
    """
    half = samples.shape[0] // 2
    return accepts(samples[:half], samples[half:], detector, alert_budget=alert_budget, seed=seed)


def accepts(known: Floats, shown: Floats, detector: str, *, alert_budget: float, seed: int) -> bool:
    """Whether a model of some samples finds others normal at ``TOLERANCE`` times its budget."""
    model = make(detector, alert_budget=alert_budget, seed=seed).fit(known)
    rejected = int((model.decision_function(shown) < 0).sum())
    most = min(TOLERANCE * alert_budget, 0.5)
    return not rejected or at_least(rejected, shown.shape[0], most) >= DOUBT


def moved_features(current: Model, samples: Floats) -> list[dict[str, Any]]:
    """Which features moved from where to where, the farthest first, at most ``MOVED``.

    Args:
        samples: of the new normal, shape (n, d).
    """
    before = current.detector.typical_
    columns = [column[~np.isnan(column)] for column in samples.T]
    after = np.array(
        [np.quantile(column, (0.05, 0.95)) if column.size else (np.nan,) * 2 for column in columns]
    ).T
    spread = np.maximum(before[1] - before[0], np.finfo(float).tiny)
    with np.errstate(over="ignore"):
        far = np.nan_to_num(np.abs(after.mean(axis=0) - before.mean(axis=0)) / spread)
    order = [int(at) for at in np.argsort(-far, kind="stable")[:MOVED] if far[at] > 0]
    return [
        {
            "feature": current.features[at],
            "before": before[:, at].tolist(),
            "after": after[:, at].tolist(),
        }
        for at in order
    ]


@dataclass(frozen=True)
class Adoption:
    """A model that knows a new normal.

    Attributes:
        model: ready to be packed; all of its samples count as original from here on.
        known: how many of them the profile knew before; 0 where a model of both would not have
            noticed what is far from the new ones.
    """

    model: Model
    known: int


def adopt_new_normal(
    current: Model | None,
    samples: Floats,
    features: tuple[str, ...],
    *,
    detector: str,
    alert_budget: float,
    seed: int,
    provenance: Mapping[str, Any],
) -> Adoption:
    """Train on what a profile knew and on its new normal; pure.

    Args:
        current: the model in force; None where what it knew has other features.
        samples: abnormal samples that agree, shape (n, d), the oldest first.
        features: names of the d columns.
        detector: name in ``models.DETECTORS``.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        seed: of everything random.
        provenance: what the caller knows of the samples; plain JSON values.
    """

    def learn(rows: Floats, known: int) -> Model:
        return train(
            detector,
            rows,
            features,
            alert_budget=alert_budget,
            seed=seed,
            provenance={
                **provenance,
                "trigger": "shift",
                "cold_start": int(rows.shape[0]),
                "pool": 0,
                "known": known,
            },
        )

    # What is abnormal in the new normal, too.
    samples = samples[~far_out(samples, alike=False)]
    alone = learn(samples, 0)
    if current is None:
        return Adoption(alone, 0)
    held = current.learnt()
    most = KNOWN_FACTOR * samples.shape[0]
    if held.shape[0] > most:
        # At random: what an earlier adoption mixed evenly, even steps could miss.
        chosen = np.random.default_rng(seed).choice(held.shape[0], most, replace=False)
        held = held[np.sort(chosen)]
    both = learn(interleaved(held, samples), held.shape[0])
    far = pushed(held, samples)
    if noticed(both, far) < noticed(alone, far) - SPARED:
        return Adoption(alone, 0)
    return Adoption(both, held.shape[0])


def interleaved(known: Floats, samples: Floats) -> Floats:
    """Both, evenly mixed: calibration leaves out runs of samples, and each run has some of both."""
    places = [(np.arange(len(rows)) + 0.5) / len(rows) for rows in (known, samples)]
    return np.concatenate([known, samples])[np.argsort(np.concatenate(places), kind="stable")]


def pushed(known: Floats, samples: Floats) -> Floats:
    """Samples ``FAR`` deviations away from the new normal, farther from the known one.

    On the near side, too, if nothing that is known lies there.
    """
    rows = samples[np.linspace(0, samples.shape[0] - 1, PROBES).round().astype(np.int64)]
    mean, variance = moments(samples)
    before, spread = moments(known)[0], np.sqrt(variance)
    push = FAR * spread * np.where(mean < before, -1.0, 1.0)
    apart = np.abs(mean - before)[spread > 0.0] / spread[spread > 0.0]
    if apart.max(initial=0.0) < APART:
        return np.asarray(rows + push)
    return np.concatenate([rows + push, rows - push])


def noticed(model: Model, rows: Floats) -> float:
    """Share of samples that a model calls anomalous, 0–1."""
    return float((model.detector.decision_function(rows) < 0).mean())
