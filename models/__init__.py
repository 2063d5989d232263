"""What is learnt: detectors, their calibration and artefacts. Nothing here knows of Kafka."""

from models.artifacts import ArtifactError, load_detector
from models.forest import Forest
from models.gaussian import Gaussian

__all__ = ["ArtifactError", "Forest", "Gaussian", "load_detector"]
