"""Governance: forms that ask for reports, their history, and a page for each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import select

from console.answers import Word, plain
from console.auth.callers import Console, needs
from console.auth.permissions import (
    ANALYSIS_CREATE,
    ANALYSIS_READ,
    COMPLIANCE_ACCESS,
    Caller,
)
from console.governance.access import report_row, visible
from console.governance.answers import answer_of
from console.governance.printing import TITLES, metrics_of
from console.governance.requests import COMPLIANCE, PATHS
from console.pages.rendering import PREFIX, render
from console.problems import Problem
from console.store import tables as t
from models.features import KINDS

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
SHOWN = 100


@router.get("/governance")
def governance(request: Request, console: Console, who: Reader) -> Response:
    """The forms and the history."""
    held, told = t.reports, t.profile_attributes.c
    query = select(held).where(held.c.type.in_(PATHS), *visible(who, held))
    if COMPLIANCE_ACCESS not in who.permissions:
        query = query.where(held.c.type != COMPLIANCE)
    newest = query.order_by(held.c.created_at.desc()).limit(SHOWN)
    known = select(told.name).where(who.own(told.profile_id)).distinct().order_by(told.name)
    with console.database.read() as connection:
        rows = [plain(row) for row in connection.execute(newest).mappings()]
        attributes = list(connection.execute(known.limit(20)).scalars())
    return render(
        request,
        "governance.html",
        who,
        rows=rows,
        kinds=list(KINDS),
        attributes=attributes,
        may_create=ANALYSIS_CREATE in who.permissions,
        may_comply=COMPLIANCE_ACCESS in who.permissions,
    )


@router.get("/governance/{report_type}/{report_id}")
def report(
    request: Request,
    console: Console,
    who: Reader,
    report_type: Literal["bias", "explanation", "compliance", "monitoring"],
    report_id: Word,
) -> Response:
    """A report."""
    if report_type == COMPLIANCE and COMPLIANCE_ACCESS not in who.permissions:
        raise Problem(403, "forbidden", f"expected the permission {COMPLIANCE_ACCESS}")
    row = report_row(console, who, report_type, report_id)
    body = answer_of(row)
    figure, label = _figure(row, body)
    return render(
        request,
        "report.html",
        who,
        row=row,
        body=body,
        metrics=metrics_of(body),
        title=TITLES[report_type],
        api=f"{PATHS[report_type]}/{report_id}",
        figure=figure,
        figure_label=label,
        may_delete=(COMPLIANCE_ACCESS if report_type == COMPLIANCE else ANALYSIS_CREATE)
        in who.permissions,
    )


def _figure(row: dict[str, Any], body: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """What a report is drawn as, and what that shows in words."""
    from console.figures import Group, for_page, group_comparison

    if row["type"] == "bias" and body["group_metrics"]:
        groups = [
            Group(each["group_name"], each["metrics"].get("alert_rate"), size=each["group_size"])
            for each in body["group_metrics"]
        ]
        drawn = group_comparison(groups, title="alert rate", percent=True)
        return for_page(drawn), "Alert rates of groups"
    if row["type"] == "explanation" and body["feature_importance"]:
        pairs = [pair for each in body["feature_importance"] for pair in each.items()]
        return for_page(_importance(pairs)), "Importance of features"
    features = body.get("metrics", {}).get("features") if row["type"] == "monitoring" else None
    if features:
        told = [(each["feature"], each["psi"]) for each in features]
        return for_page(_importance(told)), "How far features moved (PSI)"
    return None, ""


def _importance(pairs: list[tuple[str, float]]) -> Any:
    from console.figures import feature_importance

    return feature_importance([name for name, _ in pairs], [abs(value) for _, value in pairs])
