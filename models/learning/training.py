"""Training: samples of normal to a model that is ready to be packed."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors.base import Floats
from models.detectors.registry import make, parameters_of

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""Larger values are stored as this: an infinite one could never be trained on again."""


def seed_of(base: int, *identity: object) -> int:
    """Seed of one training, 0 to 2³¹ − 1: the same for the same profile, generation and version."""
    text = ":".join(str(part) for part in (base, *identity))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


@cache
def libraries() -> Mapping[str, str]:
    """Versions of what trains; the distribution's own takes a while to look up."""
    return {
        "telltale": version("telltale"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }


def stored(samples: Floats) -> NDArray[np.float32]:
    """Samples as an artefact keeps them."""
    return np.clip(samples, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)


def train(
    detector: str,
    samples: Floats,
    features: tuple[str, ...],
    *,
    alert_budget: float,
    seed: int,
    provenance: Mapping[str, Any],
    latest: Floats | None = None,
    suspected: bool = False,
) -> Model:
    """Fit and calibrate a detector.

    Args:
        detector: its name in ``models.DETECTORS``.
        samples: shape (n, d), NaN where a value is absent.
        features: names of the d columns.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        seed: of everything random in the detector.
        provenance: what the caller knows of the samples; plain JSON values.
        latest: scores of the latest samples by a model without them, where they are known already.
        suspected: neighbours in time may resemble one another: an earlier version was calibrated
            in blocks.
    """
    new = make(detector, alert_budget=alert_budget, seed=seed)
    fitted = new.fit(samples, latest=latest, suspected=suspected)
    return Model(
        fitted,
        features,
        stored(samples),
        {
            "detector": detector,
            "parameters": {name: repr(getattr(fitted, name)) for name in parameters_of(detector)},
            "seed": seed,
            "samples": int(samples.shape[0]),
            "versions": dict(libraries()),
            **provenance,
        },
    )
