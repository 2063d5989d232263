"""What a pool lacks of normal: what was rejected, and what was borderline and not drawn."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from models.calibration.conformal import Calibration
from models.detectors.base import Detector
from models.learning.admission import DEFAULT as ADMISSION
from models.learning.admission import Admission
from models.learning.gate import at_least

FAR_MORE = 5.0
"""So many times the budget true anomalies do not make."""

DOUBT = 0.05
"""Chance at which alarms are taken for more than that, 0–1."""

BORDERLINE = ADMISSION.clear_from
"""Share of normal that counts as borderline, its most abnormal."""


def censored_counts(
    pooled: int, alert_budget: float, admission: Admission | None
) -> tuple[int, int]:
    """How many samples ``pooled`` ones stand for that are not among them.

    First those that were called anomalies, then borderline ones that were not drawn (Horvitz,
    Thompson, 1952).

    Args:
        pooled: how many were admitted.
        alert_budget: share of normal samples that are called anomalous, 0–1.
        admission: what admitted them; None where all that was accepted was.
    """
    thinned = 0.0
    if admission is not None:
        borderline = max(admission.clear_from - alert_budget, 0.0)
        thinned = borderline * (1.0 - admission.borderline_share)
    stands_for = pooled / (1.0 - alert_budget - thinned)
    return round(stands_for * alert_budget), round(stands_for * thinned)


def rejected_share(alarmed: int, accepted: int, alert_budget: float) -> float:
    """Share of normal that was called anomalies: the budget, or what was counted if far more.

    Anomalies that come one after another are one event; of normal records that alarm by chance
    few do. So an anomaly is counted if the record behind it was accepted. A count may hold true
    anomalies, so it says nothing until it surely exceeds ``FAR_MORE`` budgets.

    Args:
        alarmed: how many accepted records came directly behind an anomaly.
        accepted: how many samples were accepted.
        alert_budget: share of normal samples that should be called anomalous, 0–1.
    """
    told = alarmed + accepted
    most = min(FAR_MORE * alert_budget, 0.5)
    if alarmed and at_least(alarmed, told, most) < DOUBT:
        return alarmed / told
    return alert_budget


def reweight_calibration(
    detector: Detector, learnt: int, originals: int, rejected: int, thinned: int = 0
) -> None:
    """Put back into a calibration what of normal could not be pooled.

    Were the scores of pooled samples taken for all of normal, the threshold would rise, and more
    so with each retraining. What was rejected lies below all scores that were accepted, as far as
    an exponential tail says of which the end was cut off (type II censoring), or where the lowest
    scores are if these lie deeper; what was borderline and not drawn counts as scores spread evenly
    over the borderline ones.

    Args:
        detector: fitted; its calibration and threshold are replaced.
        learnt: how many samples it has learnt.
        originals: how many of them no model has judged.
        rejected: how many below the threshold are missing.
        thinned: how many borderline ones are missing.
    """
    known = detector.calibration_
    scores = known.scores
    worth = scores.size / max(learnt, 1)
    rejected, thinned = round(worth * rejected), round(worth * thinned)
    if not scores.size or not rejected + thinned:
        return
    few, many = (share * scores.size for share in (detector.alert_budget, BORDERLINE))
    spread = np.linspace(few, max(few, many - 1.0), thinned).round().astype(np.int64)
    # Nothing was rejected of the originals: so many of them are expected beyond the cut.
    lowest = float(scores[round(worth * originals * detector.alert_budget)])
    slope = (known.excess + rejected * (known.origin - lowest)) / known.order
    beyond = slope * -np.log1p(-(np.arange(rejected) + 0.5) / max(rejected, 1))
    # Of a heavy tail the lowest scores themselves say more.
    below = min(lowest - beyond, scores[:rejected], key=np.sum)
    restored = np.concatenate([scores, below, scores[spread]])
    base = Calibration.fit(restored, detector.least_spread, known.wider)
    learnt_fields = {field.name: getattr(base, field.name) for field in fields(base)}
    detector.calibration_ = replace(known, **learnt_fields)
    detector.offset_ = detector.calibration_.offset(detector.alert_budget)
