"""Detectors: estimators with ``fit`` and ``score_samples``.

A new one is a module here with a subclass of ``base.Detector``, and a line in ``CLASSES``.
``SEQUENTIAL`` are those of metrics.
"""

from __future__ import annotations

from typing import Final

CLASSES: Final[dict[str, tuple[str, str]]] = {
    "blend": ("models.detectors.blend", "Blend"),
    "forest": ("models.detectors.forest", "Forest"),
    "gaussian": ("models.detectors.gaussian", "Gaussian"),
    "deviation": ("models.detectors.deviation", "Deviation"),
    "neighbors": ("models.detectors.neighbors", "Neighbors"),
}
"""Name of a detector in settings and records → module and class, imported where it is used."""

SEQUENTIAL: Final[dict[str, tuple[str, str]]] = {
    "forecast": ("models.detectors.forecast.detector", "Forecast")
}
"""The same of detectors of one metric, which judge points in their order with an online state."""

FEWEST_POINTS: Final = 30
"""Points that a sequential detector needs; with fewer ``gaussian`` takes its place."""

DETECTOR_NAMES: Final = (*CLASSES, *SEQUENTIAL)


def detector_of(name: str, samples: int) -> str:
    """The detector that learns so many samples, if settings name ``name``."""
    return "gaussian" if name in SEQUENTIAL and samples < FEWEST_POINTS else name
