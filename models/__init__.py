"""What is learnt: detectors, their calibration and artefacts. Nothing here knows of Kafka.

Its names are imported when they are first asked for (PEP 562): scikit-learn and numba take more
than a second, and a command that only reads a topic need not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.artifacts import load_detector
    from models.batch_scoring import warm_up
    from models.detectors.base import Detector
    from models.detectors.blend import Blend
    from models.detectors.deviation import Deviation
    from models.detectors.forest import Forest
    from models.detectors.gaussian import Gaussian
    from models.detectors.isolation_forest import IsolationForest
    from models.detectors.neighbors import Neighbors
    from models.detectors.registry import DETECTORS, make
    from models.errors import ArtifactError

__all__ = [
    "DETECTORS",
    "ArtifactError",
    "Blend",
    "Detector",
    "Deviation",
    "Forest",
    "Gaussian",
    "IsolationForest",
    "Neighbors",
    "load_detector",
    "make",
    "warm_up",
]

_MODULES = {
    "DETECTORS": "detectors.registry",
    "ArtifactError": "errors",
    "Blend": "detectors.blend",
    "Detector": "detectors.base",
    "Deviation": "detectors.deviation",
    "Forest": "detectors.forest",
    "Gaussian": "detectors.gaussian",
    "IsolationForest": "detectors.isolation_forest",
    "Neighbors": "detectors.neighbors",
    "load_detector": "artifacts",
    "make": "detectors.registry",
    "warm_up": "batch_scoring",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"models.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
