"""What monitoring answers are made of."""

from __future__ import annotations

from typing import Any

from models.governance.monitoring.rates import Change


def watched(
    score: float | None,
    metrics: dict[str, Any],
    alerts: list[dict[str, Any]],
    recommendations: list[str],
) -> dict[str, Any]:
    return {
        "drift_score": score,
        "metrics": metrics,
        "alerts": alerts,
        "recommendations": recommendations,
    }


def alert_of(change: Change) -> dict[str, Any]:
    return {
        "rate": change.name,
        "reference": change.reference,
        "current": change.current,
        "score": change.score,
    }


def changes_shown(changes: list[Change]) -> list[dict[str, Any]]:
    return [
        {
            "rate": each.name,
            "reference": each.reference,
            "current": each.current,
            "change": each.score,
            "confidence_interval": None
            if each.interval is None
            else {"lower": each.interval[0], "upper": each.interval[1]},
            "p_value": each.p_value,
        }
        for each in changes
    ]
