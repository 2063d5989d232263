"""Training: samples of normal to a model that is ready to be packed."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import sklearn
from numpy.typing import NDArray

from models.artifacts import Model
from models.calibration.evidence import Evidence
from models.detectors import SEQUENTIAL
from models.detectors.base import Detector, Floats
from models.detectors.forecast.detector import Forecast
from models.detectors.forecast.times import unit_of
from models.detectors.registry import make, parameters_of
from models.learning.sequential import fit_in_order

FLOAT32_MAX = float(np.finfo(np.float32).max)
"""Larger values are stored as this: an infinite one could never be trained on again."""


NARROW = 1e-2
"""Only features that vary by less than this share of their values can be rounded so far."""

ROUNDED = 1e-3
"""Samples are kept relative to a centre where single precision would move most of those that
differ from it by more than this share of the difference."""


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


class StoredSamples(NamedTuple):
    """Samples as an artefact keeps them, see ``Model``: ``samples`` · ``scale`` + ``centre``."""

    samples: NDArray[np.float32]
    centre: Floats | None = None
    scale: Floats | None = None


def stored(samples: Floats, typical: Floats) -> StoredSamples:
    """Samples in single precision.

    Features of small differences between large values are kept relative to their own median and
    scale, the others as they are.

    Args:
        samples: shape (n, d), NaN where a value is absent.
        typical: a low and a high quantile of each feature, shape (2, d).
    """
    bounded = np.clip(samples, -FLOAT32_MAX, FLOAT32_MAX)
    plain = bounded.astype(np.float32)
    narrow = typical[1] - typical[0] < NARROW * np.abs(typical).max(axis=0)
    relative = {
        int(feature): found
        for feature in np.flatnonzero(narrow)
        if (found := centre_and_scale(bounded[:, feature])) is not None
    }
    if not relative:
        return StoredSamples(plain)
    centre, scale = np.zeros(samples.shape[1]), np.ones(samples.shape[1])
    for feature, found in relative.items():
        centre[feature], scale[feature] = found
    return StoredSamples(((bounded - centre) / scale).astype(np.float32), centre, scale)


def centre_and_scale(values: Floats) -> tuple[float, float] | None:
    """Median of values, shape (n,), and of how far others lie from it.

    None where single precision keeps most differences as they are.
    """
    values = values[~np.isnan(values)]
    centre = float(np.median(values)) if values.size else 0.0
    aside, error = np.abs(values - centre), np.abs(values.astype(np.float32) - values)
    differs = aside > 0.0
    if not differs.any() or np.median(error[differs] / aside[differs]) <= ROUNDED:
        return None
    return centre, float(np.median(aside[differs]))


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
    evidence: Evidence | None = None,
    times: Floats | None = None,
    accepted: float = 0.0,
) -> Model:
    """Fit and calibrate a detector.

    Args:
        detector: its name in ``models.DETECTORS``.
        samples: shape (n, d), NaN if a value is absent.
        features: names of the d columns.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        seed: of everything random in the detector.
        provenance: what the caller knows of the samples; plain JSON values.
        latest: scores of the latest samples by a model without them, if they are known already.
        suspected: samples may be autocorrelated: an earlier version was calibrated in blocks.
        evidence: what the samples are worth, if that is known already.
        times: of the samples, shape (n,), if each has one; they travel with the model.
        accepted: share of them that are here since a model accepted them, of sequential detectors.
    """
    fitted: Detector | Forecast
    if detector in SEQUENTIAL:
        fitted = fit_in_order(
            detector, samples, times, alert_budget=alert_budget, accepted=accepted
        )
        found: dict[str, Any] = {}
    else:
        new = make(detector, alert_budget=alert_budget, seed=seed)
        row = fitted = new.fit(samples, latest=latest, suspected=suspected, evidence=evidence)
        found = {
            "repeated": row.repeated_,
            "far_out": row.far_out_,
            "worth": round(row.worth_, 4),
        }
    kept = stored(samples, fitted.typical_)
    return Model(
        fitted,
        features,
        kept.samples,
        {
            "detector": detector,
            "parameters": {name: repr(getattr(fitted, name)) for name in parameters_of(detector)},
            "seed": seed,
            "samples": int(samples.shape[0]),
            **found,
            "versions": dict(libraries()),
            **({} if times is None else {"time_unit": unit_of(times)}),
            **provenance,
        },
        kept.centre,
        kept.scale,
        times,
    )
