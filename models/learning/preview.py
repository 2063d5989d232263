"""What accepted verdicts will spare: a profile's alarms, judged as if they were learnt already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.artifacts import Model
from models.calibration.evidence import weigh
from models.detectors.base import Floats
from models.learning.retraining import detector_name
from models.learning.training import train


def spared(
    current: Model, accepted: Floats, alarms: Sequence[Floats], *, alert_budget: float
) -> list[bool]:
    """Which alarms a model that has also learnt the accepted samples would not raise.

    Args:
        accepted: what an analyst accepted, shape (n, d).
        alarms: the samples of each alarm, shape (m, d) each.
    """
    everything = np.concatenate([current.learnt(), accepted])
    taught = train(
        detector_name(current),
        everything,
        current.features,
        alert_budget=alert_budget,
        seed=0,
        provenance={},
        evidence=weigh(everything, vouched=accepted.shape[0]),
    )
    return [bool((taught.detector.decision_function(rows) >= 0).all()) for rows in alarms]
