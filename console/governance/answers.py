"""Reports as the answers that the document shows."""

from __future__ import annotations

from typing import Any

from console.answers import rfc3339
from console.governance.requests import BIAS, COMPLIANCE, EXPLANATION
from models.governance.bias.measures import DEFAULT_THRESHOLDS
from models.governance.compliance import CATEGORIES, NOTICE

CORE = ("demographic_parity", "equalized_odds")
IN_PROGRESS = "Analysis in progress"
TITLES = {"demographic_parity": "Demographic Parity", "equalized_odds": "Equalized Odds"}


def answer_of(row: dict[str, Any]) -> dict[str, Any]:
    """The body of a report of any type; unknown fields are as the document has them."""
    make = {BIAS: _bias, EXPLANATION: _explanation, COMPLIANCE: _compliance}
    body = make.get(row["type"], _monitoring)(row)
    if row["error"] is not None:
        body["error"] = row["error"]
    return body


def _times(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "created_at": rfc3339(row["created_at"]),
        "completed_at": rfc3339(row["completed_at"]),
    }


def _made_with(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "request_parameters": row["request"],
        "code_version": row["code_version"],
        "seed": row["seed"],
        "offsets": row["offsets"],
        "created_by": row["by"],
    }


def _bias(row: dict[str, Any]) -> dict[str, Any]:
    result = row["result"] or {}
    done = "metrics" in result
    body: dict[str, Any] = {
        "analysis_id": row["id"],
        "model_id": row["model_id"],
        "dataset_id": row["dataset_id"],
        "status": row["status"],
        "overall_bias_score": result.get("overall_bias_score") if done else 0.0,
        "compliance_score": result.get("compliance_score") if done else 0.0,
    }
    if done:
        for name in CORE:
            body[name] = result["metrics"].get(name) or _not_asked(name)
        body |= result["metrics"]
    else:
        thresholds = row["request"].get("thresholds", {})
        for name in CORE:
            body[name] = {
                "name": TITLES[name],
                "value": 0.0,
                "threshold": thresholds.get(name, DEFAULT_THRESHOLDS[name]),
                "status": "pending",
                "confidence_interval": None,
                "description": IN_PROGRESS,
            }
        body["individual_fairness"] = None
    return body | {
        "group_metrics": result.get("group_metrics", []),
        "intersectional_analysis": result.get("intersectional_analysis"),
        "recommendations": result.get("recommendations", []),
        "risk_assessment": result.get("risk_assessment", {}),
        "analysis_metadata": _made_with(row) | result.get("analysis_metadata", {}),
        **_times(row),
    }


def _not_asked(name: str) -> dict[str, Any]:
    return {
        "name": TITLES[name],
        "value": None,
        "threshold": DEFAULT_THRESHOLDS[name],
        "status": "not_applicable",
        "confidence_interval": None,
        "description": "Not asked for by this type of analysis.",
    }


def _explanation(row: dict[str, Any]) -> dict[str, Any]:
    result = row["result"] or {}
    own = {name: value for name, value in result.items() if name not in ("metadata", "problem")}
    return {
        "explanation_id": row["id"],
        "model_id": row["model_id"],
        "explanation_type": row["request"]["explanation_type"],
        "status": row["status"],
        "shap_values": None,
        "lime_explanation": None,
        "feature_importance": [],
        "global_explanations": None,
        **own,
        **_times(row),
        "metadata": _made_with(row) | result.get("metadata", {}),
    }


def _compliance(row: dict[str, Any]) -> dict[str, Any]:
    result = row["result"] or {}
    done = "controls" in result
    body = {
        "assessment_id": row["id"],
        "model_id": row["model_id"],
        "framework": row["request"]["framework"],
        "status": row["status"],
        "overall_score": result.get("overall_score", 0.0),
        **{
            f"{name}_score": result.get(f"{name}_score", None if done else 0.0)
            for name in CATEGORIES
        },
        "recommendations": result.get("recommendations", []),
        # Until there is evidence, nothing is complied with.
        "compliance_status": result.get("compliance_status", "non_compliant"),
        "controls": result.get("controls", []),
        "notice": result.get("notice", NOTICE),
    }
    for name in ("framework_name", "note"):
        if name in result:
            body[name] = result[name]
    return body | _times(row) | {"metadata": _made_with(row)}


def _monitoring(row: dict[str, Any]) -> dict[str, Any]:
    result = row["result"] or {}
    return {
        "monitoring_id": row["id"],
        "model_id": row["model_id"],
        "monitoring_type": row["request"]["monitoring_type"],
        "status": row["status"],
        "drift_detected": result.get("drift_detected", False),
        "drift_score": result.get("drift_score", 0.0),
        "drift_threshold": row["request"]["alert_threshold"],
        "metrics": result.get("metrics", {}),
        "alerts": result.get("alerts", []),
        "recommendations": result.get("recommendations", []),
        **_times(row),
        "metadata": _made_with(row),
    }
