"""The detectors by the names that settings have for them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from models.detectors import CLASSES, SEQUENTIAL
from models.detectors.base import Detector
from models.detectors.forecast.detector import Forecast

DETECTORS: dict[str, type[Detector]] = {
    name: getattr(import_module(module), of) for name, (module, of) in CLASSES.items()
}

SEQUENTIAL_DETECTORS: dict[str, type[Forecast]] = {
    name: getattr(import_module(module), of) for name, (module, of) in SEQUENTIAL.items()
}


@cache
def parameters_of(name: str) -> tuple[str, ...]:
    """A detector's parameters in their order; ``get_params`` looks them up each time."""
    detector = DETECTORS.get(name) or SEQUENTIAL_DETECTORS[name]
    return tuple(detector._get_param_names())


def make(name: str, *, alert_budget: float = 0.01, seed: int = 0) -> Detector:
    """An unfitted detector by its name in ``DETECTORS``.

    Args:
        name: see ``DETECTORS``.
        alert_budget: share of normal samples that may be called anomalous, 0–1.
        seed: of everything random in it, 0 to 2³² − 1.

    Raises:
        ValueError: no detector has that name.
    """
    if name not in DETECTORS:
        raise ValueError(f"detector {name!r} is unknown: {', '.join(sorted(DETECTORS))}")
    detector = DETECTORS[name]
    parameters: dict[str, Any] = {"alert_budget": alert_budget}
    if "random_state" in parameters_of(name):
        parameters["random_state"] = seed
    return detector(**parameters)
