"""Scores, risk and recommendations: rules on the metrics of an analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.governance.bias.comparing import FAIL, NOT_APPLICABLE, PASS, WARNING
from models.governance.bias.fleet import Fleet, Groups
from models.governance.bias.intersections import LEAST_COMPARED

Metrics = Mapping[str, Mapping[str, Any]]

POINTS = {PASS: 1.0, WARNING: 0.5, FAIL: 0.0}
CRITICAL_P = 0.01
COVERED = 0.8
"""Share of profiles whose attributes are known, at least."""

SMALL_SHARE = 0.05
URGENCY = {"critical": "immediate", "high": "high", "medium": "moderate", "low": "none"}


def scores(metrics: Metrics) -> tuple[float | None, float | None]:
    """Overall bias score (0–1, 0 is fair) and compliance score (0–100); None without data.

    Differences of alert rates cannot be large at a small alert budget, so ``demographic_parity``
    counts for nothing in the overall score.
    """
    applied = {n: m for n, m in metrics.items() if m["status"] != NOT_APPLICABLE}
    if not applied:
        return None, None
    values = [float(m["value"]) for n, m in applied.items() if n != "demographic_parity"]
    points = [POINTS[m["status"]] for m in applied.values()]
    overall = min(1.0, max(values)) if values else None
    return overall, 100.0 * sum(points) / len(points)


def coverage_of(fleet: Fleet, groups: Sequence[Groups]) -> float:
    """Share of units whose attribute is known, of the attribute where fewest are."""
    if not fleet.size or not groups:
        return 0.0
    return min(1.0 - each.unknown / fleet.size for each in groups)


def risk_factors(metrics: Metrics, fleet: Fleet, groups: Sequence[Groups]) -> list[str]:
    """What makes a conclusion unsafe, or a difference likely."""
    found = []
    if any(m["status"] in (WARNING, FAIL) for m in metrics.values()):
        found.append("threshold_violations")
    sizes = [size for each in groups for size in each.sizes]
    if fleet.size and any(size < SMALL_SHARE * fleet.size for size in sizes):
        found.append("demographic_imbalance")
    by_labels = ("equalized_odds", "false_alarm_parity")
    asked = [metrics[name] for name in by_labels if name in metrics]
    if asked and any(m["status"] == NOT_APPLICABLE for m in asked):
        found.append("insufficient_labels")
    if coverage_of(fleet, groups) < COVERED:
        found.append("attribute_coverage")
    if any(each.hidden or min(each.sizes, default=0) < LEAST_COMPARED for each in groups):
        found.append("small_groups")
    if metrics.get("calibration_parity", {}).get("status") in (WARNING, FAIL):
        found.append("calibration_gap")
    if fixed_rule_gap(fleet, groups):
        found.append("fixed_rule_gap")
    return found


RULE_TIMES = 1.25


def fixed_rule_gap(fleet: Fleet, groups: Sequence[Groups]) -> bool:
    """Whether the fixed rule alarms groups less alike than the learnt verdict does.

    Of kinds that have such a rule: the ratio of its highest to its lowest rate is beyond four
    fifths, and beyond that of the verdicts.
    """
    if fleet.rule_alarms is None:
        return False
    for each in groups:
        rates = []
        for alarms in (fleet.rule_alarms, fleet.alarms):
            own = [each.index == number for number in range(len(each.names))]
            rates.append([float(alarms[w].sum() / max(fleet.records[w].sum(), 1.0)) for w in own])
        ratios = [max(r) / max(min(r), 1e-9) if r and max(r) > 0 else 1.0 for r in rates]
        if ratios[0] > RULE_TIMES and ratios[0] > ratios[1]:
            return True
    return False


def risk_of(metrics: Metrics, fleet: Fleet, groups: Sequence[Groups]) -> dict[str, Any]:
    """The overall risk, what it rests on, and how urgent it is."""
    status = {name: m["status"] for name, m in metrics.items()}
    grave = any(
        status.get(name) == FAIL and (metrics[name]["p_value"] or 1.0) < CRITICAL_P
        for name in ("equalized_odds", "false_alarm_parity")
    )
    if grave:
        risk = "critical"
    elif FAIL in status.values():
        risk = "high"
    elif WARNING in status.values() or coverage_of(fleet, groups) < COVERED:
        risk = "medium"
    else:
        risk = "low"
    return {
        "overall_risk": risk,
        "risk_factors": risk_factors(metrics, fleet, groups),
        "mitigation_urgency": URGENCY[risk],
    }


def recommendations(
    metrics: Metrics,
    fleet: Fleet,
    groups: Sequence[Groups],
    group_metrics: Sequence[Mapping[str, Any]],
    kind: str,
) -> list[dict[str, str]]:
    """What to do, each with a command; the most urgent first."""

    def failed(name: str) -> bool:
        return metrics.get(name, {}).get("status") in (WARNING, FAIL)

    found: list[tuple[str, str, str, str]] = []
    factors = risk_factors(metrics, fleet, groups)
    if "fixed_rule_gap" in factors:
        found.append(
            (
                "fixed_rule",
                "high",
                "The fixed rule alarms groups less alike than the learnt verdict does.",
                "Alert on severity instead of rule_severity: telltale tail --kind drowsiness shows "
                "both.",
            )
        )
    if failed("calibration_parity") or failed("false_alarm_parity"):
        found.append(
            (
                "data_augmentation",
                "high",
                "The models of a group are calibrated on too few or on unlike samples of its own.",
                f"Let profiles learn longer (TELLTALE_COLD_START_SAMPLES__{kind.upper()}), and "
                f"train them again: telltale profile retrain --all --kind {kind}",
            )
        )
    if failed("retraining_parity"):
        found.append(
            (
                "review_refused",
                "medium",
                "Candidates of a group are refused, or its profiles drift, more often.",
                "Review its alarms, and accept those that were false: telltale profile accept "
                "VERDICT_ID",
            )
        )
    missing = [g["metrics"].get("missing", 0.0) for g in group_metrics]
    if missing and max(missing) > 0.05 and max(missing) > 2 * min(missing):
        found.append(
            (
                "missing_values",
                "medium",
                "Values are missing more often in a group.",
                f"Have its producer send them: telltale tail --kind {kind} shows what comes",
            )
        )
    if failed("learning_parity"):
        found.append(
            (
                "slow_learning",
                "medium",
                "A group waits longer for its first models.",
                "End learning with the samples that are there: telltale profile train ID "
                f"--kind {kind}",
            )
        )
    if failed("alert_rate_ratio") and not failed("false_alarm_parity"):
        found.append(
            (
                "unequal_alerts",
                "medium",
                "A group is alarmed more often; labels tell whether it is more often abnormal.",
                "Label the audit queue: GET /api/v1/audit-queue",
            )
        )
    if "insufficient_labels" in factors:
        found.append(
            (
                "labels",
                "medium",
                "There are too few labels to tell false alarms from true ones by group.",
                "Label the audit queue: GET /api/v1/audit-queue, PUT "
                "/api/v1/verdicts/VERDICT_ID/label",
            )
        )
    if "attribute_coverage" in factors:
        found.append(
            (
                "attributes",
                "medium",
                "Attributes of many profiles are not known.",
                "Send them as a table: PUT /api/v1/attributes (kind,profile_id,NAME)",
            )
        )
    if "small_groups" in factors:
        found.append(
            (
                "longer_period",
                "low",
                "Some groups are too small to be compared.",
                f"Take a longer period: telltale govern bias fleet:{kind} --dataset verdicts:90d",
            )
        )
    order = {"high": 0, "medium": 1, "low": 2}
    keys = ("type", "priority", "description", "implementation")
    told = [dict(zip(keys, each, strict=True)) for each in found]
    return sorted(told, key=lambda each: order[each["priority"]])
