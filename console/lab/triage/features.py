"""What the triage model knows of an alert: numbers from its verdict, its profile and its model."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from models.features import KINDS

Algorithm = Literal["random_forest", "decision_tree", "logistic_regression", "mlp"]
ALGORITHMS: Final = get_args(Algorithm)
GRADES: Final = ("none", "low", "medium", "high", "critical")
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
LEAST_P: Final = 1e-12
FEATURES: Final = (
    "minus_log10_p",
    "score",
    "decision",
    "severity",
    "rule_severity",
    "first_contribution",
    "features_outside",
    "alarms_last_hour",
    "alarms_last_day",
    "model_age_hours",
    "model_samples",
    "hour_sin",
    "hour_cos",
    *(f"kind_{kind}" for kind in KINDS),
)
"""Names of the columns, in their order."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert and what is known around it.

    Attributes:
        verdict: its body.
        at: when the record was observed, epoch milliseconds.
        hour, day: alarms of the profile in the hour and the day before.
        trained_at: of the version that judged, epoch milliseconds; None if it is not known.
        trained_on: samples of that version; None likewise.
    """

    verdict: Mapping[str, Any]
    at: int
    hour: int
    day: int
    trained_at: int | None
    trained_on: int | None


@dataclass
class AlarmTimes:
    """When the alarms of profiles were, to count those before a moment."""

    times: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    def before(self, profile: tuple[str, str], at: int) -> tuple[int, int]:
        """Alarms in the hour and the day before a moment; times were noted in their order."""
        times = self.times[profile]
        end = bisect_left(times, at)
        return end - bisect_left(times, at - HOUR_MS), end - bisect_left(times, at - DAY_MS)

    def note(self, profile: tuple[str, str], at: int) -> None:
        """Note an alarm, not earlier than those before."""
        self.times[profile].append(at)


def row_of(alert: Alert) -> list[float]:
    """An alert as numbers, in the order of ``FEATURES``."""
    verdict = alert.verdict
    reasons = verdict.get("reasons") or []
    first = reasons[0].get("contribution") if reasons else None
    p_value = verdict.get("p_value")
    angle = 2 * math.pi * (alert.at % DAY_MS) / DAY_MS
    age = 0.0 if alert.trained_at is None else max(0, alert.at - alert.trained_at) / HOUR_MS
    return [
        0.0 if p_value is None else -math.log10(max(p_value, LEAST_P)),
        float(verdict.get("score") or 0.0),
        # The scale differs by detector; its order of magnitude is what counts.
        math.log1p(max(0.0, -float(verdict.get("decision") or 0.0))),
        float(_grade(verdict.get("severity"))),
        float(_grade(verdict.get("rule_severity"))),
        float(first or 0.0),
        float(sum(_outside(reason) for reason in reasons)),
        float(alert.hour),
        float(alert.day),
        math.log1p(age),
        math.log1p(alert.trained_on or 0),
        math.sin(angle),
        math.cos(angle),
        *(float(verdict.get("kind") == kind) for kind in KINDS),
    ]


def _grade(name: Any) -> int:
    return GRADES.index(name) if name in GRADES else 0


def _outside(reason: Mapping[str, Any]) -> bool:
    value, typical = reason.get("value"), reason.get("typical")
    if value is None or not typical:
        return False
    low, high = typical
    return bool((low is not None and value < low) or (high is not None and value > high))
