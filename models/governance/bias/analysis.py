"""A bias analysis from a fleet to the fields of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.governance.bias.advice import coverage_of, recommendations, risk_of, scores
from models.governance.bias.by_group import figures_of, group_metrics, why_groups_differ
from models.governance.bias.comparing import GroupComparison, as_metric, compare_groups
from models.governance.bias.fleet import Fleet, groups_of
from models.governance.bias.individual import Deviations, individual_fairness
from models.governance.bias.intersections import intersections
from models.governance.bias.measures import DEFAULT_THRESHOLDS

COMPREHENSIVE = "comprehensive"
METRICS = tuple(DEFAULT_THRESHOLDS)
OF_TYPE: Mapping[str, tuple[str, ...]] = {
    "demographic_parity": ("demographic_parity", "alert_rate_ratio"),
    "equalized_odds": ("equalized_odds", "equal_opportunity", "false_alarm_parity"),
    "individual_fairness": ("individual_fairness",),
    COMPREHENSIVE: METRICS,
}
"""Which metrics an analysis of a type takes."""


@dataclass(frozen=True)
class BiasRequest:
    """What is asked of an analysis.

    Attributes:
        attributes: names of the protected attributes.
        thresholds: metric → threshold, in place of the defaults.
        weighting: ``profiles`` counts each profile alike, ``records`` each record.
        seed: of all draws.
    """

    attributes: Sequence[str]
    analysis_type: str = COMPREHENSIVE
    thresholds: Mapping[str, float] = field(default_factory=dict)
    intersectional: bool = True
    confidence: float = 0.95
    bootstrap_samples: int = 1000
    weighting: str = "profiles"
    seed: int = 0
    kind: str = "features"


def analyse(
    fleet: Fleet, request: BiasRequest, deviations: Deviations | None = None
) -> dict[str, Any]:
    """Metrics, groups, intersections, recommendations and risk.

    Example:
        >>> import numpy as np
        >>> fleet = Fleet(
        ...     attributes={"site": np.repeat(["Graz", "Wien"], 50)},
        ...     alarms=np.repeat([2.0, 1.0], 50),
        ...     records=np.full(100, 100.0),
        ... )
        >>> told = analyse(fleet, BiasRequest(["site"], bootstrap_samples=100))
        >>> round(told["metrics"]["alert_rate_ratio"]["value"], 3)
        0.5
    """
    generator = np.random.default_rng(request.seed)
    wanted = OF_TYPE[request.analysis_type]
    groups = [groups_of(name, fleet.attributes[name]) for name in request.attributes]
    comparisons: list[GroupComparison] = []
    for each in groups:
        comparisons += compare_groups(
            fleet,
            each,
            wanted,
            request.thresholds,
            weighting=request.weighting,
            confidence=request.confidence,
            times=request.bootstrap_samples,
            generator=generator,
        )
    if deviations is not None and "individual_fairness" in wanted:
        threshold = request.thresholds.get(
            "individual_fairness", DEFAULT_THRESHOLDS["individual_fairness"]
        )
        comparisons.append(
            individual_fairness(
                deviations,
                threshold,
                confidence=request.confidence,
                times=request.bootstrap_samples,
                generator=generator,
            )
        )
    metrics = {
        name: as_metric(name, [each for each in comparisons if each.name == name])
        for name in METRICS
        if name in wanted
    }
    by_group = [told for each in groups for told in group_metrics(fleet, each, request.weighting)]
    overall, compliance = scores(metrics)
    crossed = None
    if request.intersectional and len(groups) >= 2:
        crossed = intersections(
            fleet,
            groups,
            weighting=request.weighting,
            times=request.bootstrap_samples,
            generator=generator,
        )
    return {
        "status": "completed" if overall is not None else "insufficient_data",
        "overall_bias_score": overall,
        "compliance_score": compliance,
        "metrics": metrics,
        "group_metrics": by_group,
        "intersectional_analysis": crossed,
        "why_groups_differ": [t for each in groups for t in why_groups_differ(fleet, each)],
        "recommendations": recommendations(metrics, fleet, groups, by_group, request.kind),
        "risk_assessment": risk_of(metrics, fleet, groups),
        "overall": figures_of(
            fleet.of(np.any([each.index >= 0 for each in groups], axis=0)), request.weighting
        )
        if groups
        else {},
        "coverage": coverage_of(fleet, groups),
    }
