"""What is learnt: detectors, their calibration and artefacts. Nothing here knows of Kafka.

Its names are imported when they are first asked for (PEP 562): scikit-learn and numba take more
than a second, and a command that only reads a topic need not wait for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.artifacts import ArtifactError, load_detector
    from models.blend import Blend
    from models.detector import Detector
    from models.detectors import DETECTORS, make
    from models.deviation import Deviation
    from models.forest import Forest, IsolationForest
    from models.gaussian import Gaussian
    from models.judging import warm_up
    from models.neighbors import Neighbors

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
    "DETECTORS": "detectors",
    "ArtifactError": "artifacts",
    "Blend": "blend",
    "Detector": "detector",
    "Deviation": "deviation",
    "Forest": "forest",
    "Gaussian": "gaussian",
    "IsolationForest": "forest",
    "Neighbors": "neighbors",
    "load_detector": "artifacts",
    "make": "detectors",
    "warm_up": "judging",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"models.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
