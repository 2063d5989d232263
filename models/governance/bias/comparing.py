"""Metrics with interval, permutation test and status: the worst comparison of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.governance.bias.fleet import Fleet, Floats, Groups
from models.governance.bias.measures import (
    DEFAULT_THRESHOLDS,
    DIFFERENCE,
    DIFFERENCE_THRESHOLD,
    Measure,
    measures_of,
)
from models.governance.bias.resampling import (
    bootstrap_sums,
    group_sums,
    percentiles,
    permutation_p_value,
    permuted_sums,
)

PASS, WARNING, FAIL, NOT_APPLICABLE = "pass", "warning", "fail", "not_applicable"
_RANK = {NOT_APPLICABLE: 0, PASS: 1, WARNING: 2, FAIL: 3}

TITLES: Mapping[str, tuple[str, str]] = {
    "demographic_parity": (
        "Demographic Parity",
        "Difference between the highest and the lowest alert rate of groups",
    ),
    "alert_rate_ratio": (
        "Alert Rate Ratio",
        "1 less the lowest alert rate of a group by the highest",
    ),
    "false_alarm_parity": (
        "False Alarm Parity",
        "How much the rate of false alarms differs between groups",
    ),
    "equalized_odds": (
        "Equalized Odds",
        "The larger of the differences in true and in false positive rates between groups",
    ),
    "equal_opportunity": (
        "Equal Opportunity",
        "Difference in true positive rates between groups",
    ),
    "individual_fairness": (
        "Individual Fairness",
        "How much the score of a record differs from those of the records most alike",
    ),
    "calibration_parity": (
        "Calibration Parity",
        "Difference between groups in how far their p-values are from uniform",
    ),
    "learning_parity": (
        "Learning Parity",
        "How much the time until a first model differs between groups",
    ),
    "retraining_parity": (
        "Retraining Parity",
        "How much the shares of refused candidates and of drifting profiles differ",
    ),
}


@dataclass(frozen=True)
class GroupComparison:
    """One metric on the groups of one attribute.

    Attributes:
        p_value: of the permutation test; None if there is none.
        groups: that were compared.
        why_not: why it does not apply, or empty.
    """

    name: str
    part: str
    attribute: str
    value: float
    threshold: float
    interval: tuple[float, float] | None
    p_value: float | None
    groups: tuple[str, ...] = ()
    why_not: str = ""
    note: str = ""

    @property
    def status(self) -> str:
        """pass, warning, fail or not_applicable."""
        if self.why_not:
            return NOT_APPLICABLE
        return status_of(self.value, self.threshold, self.interval)


def status_of(value: float, threshold: float, interval: tuple[float, float] | None) -> str:
    """Pass up to the threshold; fail if the whole interval is above it; else warning."""
    if value <= threshold:
        return PASS
    return FAIL if interval is not None and interval[0] > threshold else WARNING


def compare_groups(
    fleet: Fleet,
    groups: Groups,
    wanted: Sequence[str],
    thresholds: Mapping[str, float],
    *,
    weighting: str,
    confidence: float,
    times: int,
    generator: np.random.Generator,
) -> list[GroupComparison]:
    """All wanted metrics on the groups of one attribute, from one resampling."""
    measures = [each for each in measures_of(fleet, weighting) if each.name in wanted]
    if not measures:
        return []
    # Several metrics read the same columns: these are summed once.
    held = {id(each.columns): each.columns for each in measures}
    columns = np.concatenate(list(held.values()), axis=1)
    ends = dict(zip(held, np.cumsum([each.shape[1] for each in held.values()]), strict=True))
    count = len(groups.names)
    observed = group_sums(columns, groups.index, count)
    drawn = permuted = None
    if count >= 2:
        drawn = bootstrap_sums(columns, groups.index, count, times, generator)
        permuted = permuted_sums(columns, groups.index, count, times, generator)
    found = []
    for measure in measures:
        end = ends[id(measure.columns)]
        own = slice(end - measure.columns.shape[1], end)
        part = [None if s is None else s[..., own] for s in (observed, drawn, permuted)]
        found.append(_comparison(measure, groups, thresholds, confidence, *part))
    return found


def _comparison(
    measure: Measure,
    groups: Groups,
    thresholds: Mapping[str, float],
    confidence: float,
    observed: Floats | None,
    drawn: Floats | None,
    permuted: Floats | None,
) -> GroupComparison:
    threshold = thresholds.get(measure.name, DEFAULT_THRESHOLDS[measure.name])
    if measure.part == DIFFERENCE:
        threshold = min(threshold, DIFFERENCE_THRESHOLD)
    said = (measure.name, measure.part, groups.attribute)
    if observed is None or drawn is None or permuted is None:
        why = f"{groups.attribute}: fewer than two groups can be compared"
        return GroupComparison(*said, 0.0, threshold, None, None, why_not=why, note=measure.note)
    which = measure.eligible(observed)
    names = tuple(name for name, there in zip(groups.names, which, strict=True) if there)
    if which.sum() < 2:
        why = f"{groups.attribute}: {measure.why_not}"
        return GroupComparison(*said, 0.0, threshold, None, None, why_not=why, note=measure.note)
    value = float(measure.value(observed[which]))
    return GroupComparison(
        *said,
        value,
        threshold,
        percentiles(measure.value(drawn[:, which]), confidence),
        permutation_p_value(value, measure.value(permuted[:, which])),
        names,
        note=measure.note,
    )


def worst(comparisons: Sequence[GroupComparison]) -> GroupComparison:
    """The comparison that speaks for a metric: of the gravest status, the furthest beyond."""
    return max(
        comparisons,
        key=lambda each: (_RANK[each.status], each.value / each.threshold if each.threshold else 0),
    )


def as_metric(name: str, comparisons: Sequence[GroupComparison]) -> dict[str, Any]:
    """A metric as the answer shows it.

    The p-value is that of the comparison shown, times how many there were (Bonferroni): it is the
    gravest of them.
    """
    title, description = TITLES[name]
    if not comparisons:
        return {
            "name": title,
            "value": None,
            "threshold": DEFAULT_THRESHOLDS[name],
            "status": NOT_APPLICABLE,
            "confidence_interval": None,
            "p_value": None,
            "description": f"{description}. Not applicable: there is no data for it.",
        }
    shown = worst(comparisons)
    applied = [each for each in comparisons if not each.why_not]
    said = ". ".join(filter(None, (description, shown.note)))
    if shown.why_not:
        said = f"{said}. Not applicable: {shown.why_not}"
    p = None if shown.p_value is None else min(1.0, shown.p_value * len(applied))
    return {
        "name": title,
        "value": None if shown.why_not else shown.value,
        "threshold": shown.threshold,
        "status": shown.status,
        "confidence_interval": _interval(shown),
        "p_value": p,
        "description": f"{said}.",
        "attribute": shown.attribute or None,
        "part": shown.part or None,
        "groups": list(shown.groups),
        "comparisons": [
            {
                "attribute": each.attribute,
                "part": each.part or None,
                "value": each.value,
                "threshold": each.threshold,
                "status": each.status,
                "confidence_interval": _interval(each),
                "p_value": each.p_value,
            }
            for each in applied
        ],
    }


def _interval(shown: GroupComparison) -> dict[str, float] | None:
    if shown.interval is None:
        return None
    return {"lower": shown.interval[0], "upper": shown.interval[1]}
