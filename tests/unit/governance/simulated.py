"""Fleets with a known unfairness: one group has gaps in its data, learnt from fewer samples, or is
really more often abnormal; or all are alike.

Records of a profile depend on one another: each profile has a rate of its own.
"""

from dataclasses import dataclass

import numpy as np

from models.governance.bias.fleet import Fleet

PROFILES = 120
"""Of each group."""

RECORDS = 2000
BUDGET = 0.01
ABNORMAL = 0.02
CAUGHT = 0.7
AUDITED = 0.1
"""Chance that a record without an alarm is labelled; alarms are all labelled."""


@dataclass(frozen=True)
class Unfairness:
    """What is different about the second group, as factors on what the first has."""

    false_alarms: float = 1.0
    abnormal: float = 1.0
    caught: float = 1.0
    miscalibrated: float = 0.0
    days: float = 1.0
    refused: float = 1.0


EQUAL = Unfairness()
GAPS = Unfairness(false_alarms=2.5, caught=0.5, miscalibrated=0.6)
FEWER = Unfairness(false_alarms=2.0, miscalibrated=0.3, days=2.5, refused=3.0)
ABNORMAL_MORE = Unfairness(abnormal=4.0)

FINDS = {
    "gaps": (GAPS, ("alert_rate_ratio", "false_alarm_parity", "equalized_odds")),
    "calibration": (GAPS, ("calibration_parity",)),
    "fewer": (FEWER, ("learning_parity", "retraining_parity", "false_alarm_parity")),
    "abnormal": (ABNORMAL_MORE, ("alert_rate_ratio",)),
}
"""A planted unfairness, and the metrics that must find it."""


def fleet(rng: np.random.Generator, told: Unfairness, profiles: int = PROFILES) -> Fleet:
    """A fleet of two groups."""
    n = 2 * profiles
    second = np.repeat([False, True], profiles)

    def of(first: float, factor: float) -> np.ndarray:
        return np.where(second, first * factor, first)

    own = rng.gamma(20.0, 1 / 20.0, n)
    false_rate = np.minimum(of(BUDGET, told.false_alarms) * own, 0.5)
    abnormal = rng.binomial(RECORDS, of(ABNORMAL, told.abnormal))
    caught = rng.binomial(abnormal, of(CAUGHT, told.caught))
    false = rng.binomial(RECORDS - abnormal, false_rate)
    missed = abnormal - caught
    quiet = RECORDS - abnormal - false
    audited = np.stack([rng.binomial(missed, AUDITED), rng.binomial(quiet, AUDITED)], axis=1)
    labels = np.column_stack([caught, false, audited]).astype(np.float64)
    bins = np.full(20, 1 / 20.0)
    skewed = np.linspace(1.0, 0.0, 20)
    skewed /= skewed.sum()
    shares = [
        bins if not s else (1 - told.miscalibrated) * bins + told.miscalibrated * skewed
        for s in second
    ]
    candidates = rng.poisson(5.0, n)
    return Fleet(
        attributes={"group": np.where(second, "second", "first")},
        alarms=(caught + false).astype(np.float64),
        records=np.full(n, float(RECORDS)),
        confusion=labels * np.array([1.0, 1.0, 1 / AUDITED, 1 / AUDITED]),
        labels=labels,
        missed_known=True,
        p_values=np.array([rng.multinomial(500, share) for share in shares], dtype=np.float64),
        days=rng.gamma(4.0, of(0.5, told.days)),
        candidates=candidates.astype(np.float64),
        refused=rng.binomial(candidates, np.minimum(of(0.1, told.refused), 1.0)).astype(np.float64),
        drifting=(rng.random(n) < 0.1).astype(np.float64),
    )


def truth(told: Unfairness) -> dict[str, float]:
    """What the metrics would be without chance."""
    false = [BUDGET, BUDGET * told.false_alarms]
    share = [ABNORMAL, ABNORMAL * told.abnormal]
    caught = [CAUGHT, CAUGHT * told.caught]
    rates = [s * c + (1 - s) * f for s, c, f in zip(share, caught, false, strict=True)]
    return {
        "demographic_parity": abs(rates[1] - rates[0]),
        "alert_rate_ratio": 1 - min(rates) / max(rates),
        "equalized_odds": max(abs(caught[1] - caught[0]), abs(false[1] - false[0])),
        "equal_opportunity": abs(caught[1] - caught[0]),
    }
