"""Severity of an anomaly: how far beyond the profile's own threshold it lies."""

from __future__ import annotations

from typing import Final

from schemas.verdict import Severity

# Grade, reached where the p-value is below this share of the budget, or the score lies further
# below the threshold than so many spreads. The worst first.
GRADES: Final[tuple[tuple[Severity, float, float], ...]] = (
    ("critical", 1e-3, 10.0),
    ("high", 1e-2, 5.0),
    ("medium", 1e-1, 2.0),
)


def severity(p_value: float, budget: float, decision: float, spread: float) -> Severity:
    """Grade of a verdict, ``none`` exactly if ``decision`` is not below 0.

    | grade    | p-value below   | or decision below |
    |----------|-----------------|-------------------|
    | critical | budget / 1,000  | −10 spreads       |
    | high     | budget / 100    | −5 spreads        |
    | medium   | budget / 10     | −2 spreads        |
    | low      | any other anomaly                  ||

    A lower p-value or decision never gives a lower grade.

    Args:
        p_value: share of normal samples at least as abnormal, 0–1.
        budget: share that may be called anomalous, 0–1 (of a sample, where a record holds several).
        decision: score less the threshold; NaN (no evidence) is no anomaly.
        spread: standard deviation of the calibration scores, above 0.
    """
    if not decision < 0:
        return "none"
    for grade, share, spreads in GRADES:
        if p_value < share * budget or decision < -spreads * spread:
            return grade
    return "low"
