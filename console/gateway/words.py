"""A verdict as a sentence."""

from __future__ import annotations

from typing import Any


def message(body: dict[str, Any]) -> str:
    """What a verdict says, for people."""
    if body["status"] == "learning":
        return f"learning: {body['samples_seen']} of {body['samples_needed']} samples"
    if body["status"] == "abstained":
        return "no usable evidence in the record"
    if not body["anomaly"]:
        return "normal"
    reasons = body.get("reasons") or []
    told = f"anomaly, severity {body['severity']}"
    return f"{told}: {reason(reasons[0])}" if reasons else told


def reason(held: dict[str, Any]) -> str:
    """A reason, as "memory 182.9, usually 129–148"."""
    low, high = (_number(end) for end in held["typical"])
    value = "absent" if held["value"] is None else _number(held["value"])
    usual = "" if low is None or high is None else f", usually {low}–{high}"
    return f"{held['feature']} {value}{usual}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
