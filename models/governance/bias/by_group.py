"""Figures of each group, against the rest; and by which features groups are alarmed."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.governance.bias.fleet import LEAST_SHOWN, UNKNOWN, Fleet, Floats, Groups
from models.governance.bias.measures import (
    LEAST_LABELS,
    day_columns,
    false_positive_rate,
    median_of,
    precision,
    ratio_of,
    true_positive_rate,
)


def figures_of(fleet: Fleet, weighting: str = "profiles") -> dict[str, float]:
    """What is known of the units of a fleet together; what is not is left out."""
    found: dict[str, float] = {"records": float(fleet.records.sum())}
    if weighting == "records":
        found["alert_rate"] = _part(fleet.alarms.sum(), fleet.records.sum())
    elif fleet.size:
        found["alert_rate"] = float(ratio_of(fleet.alarms, fleet.records).mean())
    if fleet.rule_alarms is not None:
        found["rule_alert_rate"] = _part(fleet.rule_alarms.sum(), fleet.records.sum())
    if fleet.labels is not None and fleet.confusion is not None:
        counts = fleet.labels.sum(axis=0)
        sums = fleet.confusion.sum(axis=0)
        found["labels"] = float(counts.sum())
        if counts[0] + counts[1] >= LEAST_LABELS:
            found["precision"] = float(precision(sums))
        if fleet.missed_known and counts[0] + counts[2] >= LEAST_LABELS:
            found["recall"] = float(true_positive_rate(sums))
        if fleet.missed_known and counts[1] + counts[3] >= LEAST_LABELS:
            found["false_alarm_rate"] = float(false_positive_rate(sums))
        if "precision" in found and "recall" in found:
            both = found["precision"] + found["recall"]
            found["f1"] = 2 * found["precision"] * found["recall"] / both if both else 0.0
        if "recall" in found and "false_alarm_rate" in found:
            found["abnormal_share"] = _part(sums[0] + sums[2], sums.sum())
    if fleet.days is not None and np.isfinite(fleet.days).any():
        columns, grid = day_columns(fleet.days)
        median = float(median_of(columns.sum(axis=0), grid))
        if np.isfinite(median):
            found["days_to_learn"] = median
        found["never_active"] = float(np.isinf(fleet.days).mean())
    for name, part, whole in (
        ("abstained", fleet.abstained, fleet.judged),
        ("missing", fleet.missing, fleet.values),
        ("refused", fleet.refused, fleet.candidates),
    ):
        if part is not None and whole is not None and whole.sum() > 0:
            found[name] = _part(part.sum(), whole.sum())
    if fleet.drifting is not None and fleet.size:
        found["drifting"] = float(fleet.drifting.mean())
    return found


COUNTS = ("records", "labels")


def group_metrics(fleet: Fleet, groups: Groups, weighting: str) -> list[dict[str, Any]]:
    """Each group that is shown: its size, its figures, and these against all other units."""
    values = fleet.attributes[groups.attribute]
    shown = [(name, values == name) for name in groups.names]
    if groups.unknown >= LEAST_SHOWN:
        shown.append((UNKNOWN, values == UNKNOWN))
    known = groups.index >= 0
    found = []
    for name, own in shown:
        metrics = figures_of(fleet.of(own), weighting)
        rest = known & ~own
        compared = {} if name == UNKNOWN else _against(metrics, fleet.of(rest), weighting)
        found.append(
            {
                "group_name": f"{groups.attribute}={name}",
                "group_size": int(own.sum()),
                "metrics": metrics,
                "comparison_metrics": compared,
                "insufficient": fleet.labels is not None and "precision" not in metrics,
            }
        )
    return found


def _against(own: dict[str, float], rest: Fleet, weighting: str) -> dict[str, float]:
    if not rest.size:
        return {}
    others = figures_of(rest, weighting)
    found = {}
    for name, value in own.items():
        if name in COUNTS or name not in others:
            continue
        found[f"{name}_diff"] = value - others[name]
        if others[name] > 0:
            found[f"{name}_ratio"] = value / others[name]
    if "alert_rate_diff" in found:
        found["demographic_parity_diff"] = found["alert_rate_diff"]
    return found


def why_groups_differ(fleet: Fleet, groups: Groups) -> list[dict[str, Any]]:
    """How far apart two groups are in the feature that alarms name first.

    The distance is the total variation, 0–1: half of the summed differences of shares. Only the
    two groups that are furthest apart are told, with the three features that make most of it.
    """
    if fleet.reasons is None or len(groups.names) < 2 or not fleet.reason_names:
        return []
    sums = np.stack(
        [fleet.reasons[groups.index == number].sum(axis=0) for number in range(len(groups.names))]
    )
    enough = np.flatnonzero(sums.sum(axis=1) >= LEAST_LABELS)
    best: tuple[float, int, int, Floats] | None = None
    shares = ratio_of(sums, np.broadcast_to(sums.sum(axis=1, keepdims=True), sums.shape))
    for place, first in enumerate(enough.tolist()):
        for second in enough[place + 1 :].tolist():
            apart = shares[first] - shares[second]
            distance = float(np.abs(apart).sum() / 2)
            if best is None or distance > best[0]:
                best = (distance, first, second, apart)
    if best is None:
        return []
    distance, first, second, apart = best
    most = np.argsort(-np.abs(apart), kind="stable")[:3].tolist()
    return [
        {
            "attribute": groups.attribute,
            "groups": [groups.names[first], groups.names[second]],
            "total_variation": distance,
            "features": [
                {"feature": fleet.reason_names[at], "difference": float(apart[at])}
                for at in most
                if apart[at] != 0
            ],
        }
    ]


def _part(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0
