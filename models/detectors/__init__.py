"""Detectors: estimators with ``fit`` and ``score_samples``.

A new one is a module here with a subclass of ``base.Detector``, and a line in ``CLASSES``.
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

DETECTOR_NAMES: Final = tuple(CLASSES)
