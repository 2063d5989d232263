"""Severity of an anomaly."""

from __future__ import annotations


def severity(p_value: float, budget: float, decision: float, spread: float) -> str:
    """None without an anomaly, else how far the p-value lies under the budget."""
    if not decision < 0:
        return "none"
    distance = -decision / spread if spread > 0 else 0.0
    ratio = p_value / budget
    if ratio < 0.001 or distance > 10:
        return "critical"
    if ratio < 0.01 or distance > 5:
        return "high"
    return "medium" if ratio < 0.1 or distance > 2 else "low"
