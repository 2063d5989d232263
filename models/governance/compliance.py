"""Compliance as a self-assessment: controls with evidence, scores by category, status.

Not legal advice: the numbers say which evidence there is, and what it says. Evidence that is
missing never helps: an unknown control counts as not passed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from models.governance.controls import CONTROLS

Status = Literal["pass", "partial", "fail", "unknown"]
PASS: Final = "pass"  # noqa: S105  (no password)
PARTIAL: Final = "partial"
FAIL: Final = "fail"
UNKNOWN: Final = "unknown"
POINTS: Final[Mapping[str, float]] = {PASS: 1.0, PARTIAL: 0.5, FAIL: 0.0, UNKNOWN: 0.0}
CATEGORIES: Final = ("bias", "transparency", "robustness", "privacy")
NOTICE: Final = (
    "A self-assessment by the evidence that this console can see. It is not legal advice and no "
    "certificate; evidence that cannot be seen counts as not passed."
)


@dataclass(frozen=True)
class Framework:
    """A framework: what it weighs, and which of its parts stand beside the controls.

    Attributes:
        references: category → the parts of the framework, by their own names.
        weights: control → weight; 1 unless said.
        note: what the score means under this framework.
    """

    name: str
    references: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, float]
    note: str


FRAMEWORKS: Final[Mapping[str, Framework]] = {
    "nist_ai_rmf": Framework(
        "NIST AI Risk Management Framework 1.0",
        {
            "bias": ("MEASURE 2.11",),
            "transparency": ("MEASURE 2.8", "MEASURE 2.9"),
            "robustness": ("MEASURE 2.5", "MEASURE 2.6", "MEASURE 2.7", "MANAGE 4.1"),
            "privacy": ("MEASURE 2.10",),
        },
        {"B2": 2.0, "R5": 2.0},
        "Subcategories of NIST AI 100-1 stand beside the controls that give evidence for them.",
    ),
    "eu_ai_act": Framework(
        "Regulation (EU) 2024/1689, Artificial Intelligence Act",
        {
            "bias": ("Article 10",),
            "transparency": ("Article 12", "Article 13", "Article 14"),
            "robustness": ("Article 15", "Article 72"),
            "privacy": ("Article 10(5)", "Regulation (EU) 2016/679"),
        },
        {"B2": 2.0, "B4": 2.0, "T2": 2.0, "T4": 2.0},
        "Whether the Act applies, and in which class of risk, is for its operator to judge.",
    ),
    "iso_23053": Framework(
        "ISO/IEC 23053, framework for AI systems using machine learning",
        {"bias": (), "transparency": (), "robustness": (), "privacy": ()},
        {"T2": 2.0, "R1": 2.0},
        "It describes stages of a life cycle, not requirements: the score is how much of them the "
        "evidence covers.",
    ),
}

COMPLIANT, CONDITIONAL, NON_COMPLIANT = "compliant", "conditional", "non_compliant"
GOOD, ENOUGH = 80.0, 60.0


def assess(
    framework: str, scope: Sequence[str], found: Mapping[str, tuple[Status, str]]
) -> dict[str, Any]:
    """Scores and status from what was found of each control.

    Args:
        scope: categories that count.
        found: control → status and evidence; a control that is not there is unknown.

    Returns:
        ``overall_score`` and one score for each category (0–100, null out of scope),
        ``compliance_status``, ``controls``, ``recommendations``, ``notice``.

    Example:
        >>> told = assess("nist_ai_rmf", ["privacy"], {"P7": ("pass", "in code")})
        >>> told["compliance_status"], told["bias_score"]
        ('non_compliant', None)
    """
    chosen = FRAMEWORKS[framework]
    controls: list[dict[str, Any]] = []
    for each in CONTROLS:
        if each.category not in scope:
            continue
        status, evidence = found.get(each.id, (UNKNOWN, "no evidence was found"))
        controls.append(
            {
                "id": each.id,
                "category": each.category,
                "title": each.title,
                "critical": each.critical,
                "status": status,
                "weight": chosen.weights.get(each.id, 1.0),
                "evidence": evidence,
                "references": list(chosen.references[each.category]),
                "remedy": each.remedy,
            }
        )
    scores = {name: _score(controls, name) if name in scope else None for name in CATEGORIES}
    told = [score for score in scores.values() if score is not None]
    overall = sum(told) / len(told) if told else 0.0
    broken = any(c["critical"] and c["status"] in (FAIL, UNKNOWN) for c in controls)
    if overall >= GOOD and min(told, default=0.0) >= ENOUGH and not broken:
        judged = COMPLIANT
    else:
        judged = CONDITIONAL if overall >= ENOUGH else NON_COMPLIANT
    return {
        "overall_score": overall,
        **{f"{name}_score": score for name, score in scores.items()},
        "compliance_status": judged,
        "controls": controls,
        "recommendations": [_advice(c) for c in controls if c["status"] != PASS],
        "framework_name": chosen.name,
        "note": chosen.note,
        "notice": NOTICE,
    }


def _score(controls: Sequence[Mapping[str, Any]], category: str) -> float:
    own = [c for c in controls if c["category"] == category]
    whole = float(sum(c["weight"] for c in own))
    return 100.0 * float(sum(c["weight"] * POINTS[c["status"]] for c in own)) / whole


def _advice(control: Mapping[str, Any]) -> dict[str, str]:
    said = {"partial": "partly so", "fail": "not so", "unknown": "not known"}
    priority = "high" if control["critical"] else "medium"
    if control["status"] == PARTIAL:
        priority = "low"
    return {
        "type": control["id"],
        "priority": priority,
        "description": f"{control['title']}: {said[control['status']]}. {control['evidence']}",
        "implementation": control["remedy"],
    }
