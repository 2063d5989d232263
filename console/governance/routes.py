"""Endpoints of the four analyses: ask, read, list by model, delete."""

from __future__ import annotations

import asyncio
import re
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from console.answers import Limit, Word, json_answer
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import (
    ANALYSIS_CREATE,
    ANALYSIS_READ,
    COMPLIANCE_ACCESS,
    Caller,
)
from console.governance import printing, reports
from console.governance.access import forbidden, model_of, report_row
from console.governance.answers import answer_of
from console.governance.requests import (
    BIAS,
    COMPLIANCE,
    EXPLANATION,
    MONITORING,
    PATHS,
    PERIOD,
    BiasAnalysisRequest,
    ComplianceRequest,
    ExplanationRequest,
    MonitoringRequest,
)
from console.lab.data.endpoints import dataset_row
from console.services import Services

router = APIRouter(prefix="/api/v1", tags=["governance"])
Creator = Annotated[Caller, Depends(needs(ANALYSIS_CREATE))]
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
Auditor = Annotated[Caller, Depends(needs(COMPLIANCE_ACCESS))]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="How many to leave out.")]
WAIT_SECONDS, MOST_SECONDS = 5.0, 30.0
LOOK_SECONDS = 0.05
ASKED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The report: it was made while the request waited (Prefer: wait=n)."},
    202: {"description": "The report will be made; `Location` says where it is to be read."},
}
PRINTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report; for `Accept: text/html` a page to print.",
        "content": {"application/json": {}, "text/html": {}},
    }
}


@router.post("/analysis/bias", status_code=202, responses=ASKED)
async def ask_bias(
    request: Request, console: Console, who: Creator, body: BiasAnalysisRequest
) -> Response:
    """Ask whether alerts treat groups of profiles alike; it is made in the background."""
    if not body.dataset_id.startswith(PERIOD):
        await run_in_threadpool(dataset_row, console.database, who, body.dataset_id)
    return await _asked(request, console, who, BIAS, body, 0.0)


@router.post("/explanation", responses=ASKED)
async def ask_explanation(
    request: Request, console: Console, who: Reader, body: ExplanationRequest
) -> Response:
    """Ask why a model judged a record as it did; of many records in the background."""
    if body.of_many:
        return await _asked(request, console, who, EXPLANATION, body, 0.0)
    row = await run_in_threadpool(_explained, console, who, body)
    await run_in_threadpool(console.note, who, "explanation.create", row["id"], "done", request)
    return json_answer(answer_of(row))


@router.post("/compliance", responses=ASKED)
async def ask_compliance(
    request: Request, console: Console, who: Auditor, body: ComplianceRequest
) -> Response:
    """Ask for a self-assessment of a kind's models against a framework."""
    return await _asked(request, console, who, COMPLIANCE, body, WAIT_SECONDS)


@router.post("/monitoring", responses=ASKED)
async def ask_monitoring(
    request: Request, console: Console, who: Reader, body: MonitoringRequest
) -> Response:
    """Ask for a comparison of a current period with a reference."""
    return await _asked(request, console, who, MONITORING, body, WAIT_SECONDS)


@router.get("/analysis/bias/model/{model_id}")
def list_bias(
    console: Console,
    who: Reader,
    model_id: PathId,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[Word | None, Query()] = None,
) -> Response:
    """Bias analyses of a model, the newest first."""
    return _listed(console, who, BIAS, model_id, limit, offset, status)


@router.get("/explanation/model/{model_id}")
def list_explanations(
    console: Console,
    who: Reader,
    model_id: PathId,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[Word | None, Query()] = None,
) -> Response:
    """Explanations of a model, the newest first."""
    return _listed(console, who, EXPLANATION, model_id, limit, offset, status)


@router.get("/compliance/model/{model_id}")
def list_compliance(
    console: Console,
    who: Auditor,
    model_id: PathId,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[Word | None, Query()] = None,
) -> Response:
    """Assessments of a model, the newest first."""
    return _listed(console, who, COMPLIANCE, model_id, limit, offset, status)


@router.get("/monitoring/model/{model_id}")
def list_monitoring(
    console: Console,
    who: Reader,
    model_id: PathId,
    limit: Limit = 50,
    offset: Offset = 0,
    status: Annotated[Word | None, Query()] = None,
) -> Response:
    """Comparisons of periods of a model, the newest first."""
    return _listed(console, who, MONITORING, model_id, limit, offset, status)


@router.get("/analysis/bias/{analysis_id}", responses=PRINTS)
def get_bias(request: Request, console: Console, who: Reader, analysis_id: Word) -> Response:
    """A bias analysis."""
    return _read(request, console, who, BIAS, analysis_id)


@router.get("/explanation/{explanation_id}", responses=PRINTS)
def get_explanation(
    request: Request, console: Console, who: Reader, explanation_id: Word
) -> Response:
    """An explanation."""
    return _read(request, console, who, EXPLANATION, explanation_id)


@router.get("/compliance/{assessment_id}", responses=PRINTS)
def get_compliance(
    request: Request, console: Console, who: Auditor, assessment_id: Word
) -> Response:
    """An assessment with its controls and their evidence."""
    return _read(request, console, who, COMPLIANCE, assessment_id)


@router.get("/monitoring/{monitoring_id}", responses=PRINTS)
def get_monitoring(
    request: Request, console: Console, who: Reader, monitoring_id: Word
) -> Response:
    """A comparison of periods."""
    return _read(request, console, who, MONITORING, monitoring_id)


@router.delete("/analysis/bias/{analysis_id}")
def delete_bias(request: Request, console: Console, who: Creator, analysis_id: Word) -> Response:
    """Delete a bias analysis."""
    return _deleted(request, console, who, BIAS, analysis_id, "Analysis")


@router.delete("/explanation/{explanation_id}")
def delete_explanation(
    request: Request, console: Console, who: Creator, explanation_id: Word
) -> Response:
    """Delete an explanation."""
    return _deleted(request, console, who, EXPLANATION, explanation_id, "Explanation")


@router.delete("/compliance/{assessment_id}")
def delete_compliance(
    request: Request, console: Console, who: Auditor, assessment_id: Word
) -> Response:
    """Delete an assessment."""
    return _deleted(request, console, who, COMPLIANCE, assessment_id, "Assessment")


@router.delete("/monitoring/{monitoring_id}")
def delete_monitoring(
    request: Request, console: Console, who: Creator, monitoring_id: Word
) -> Response:
    """Delete a comparison of periods."""
    return _deleted(request, console, who, MONITORING, monitoring_id, "Monitoring report")


def _explained(console: Services, who: Caller, body: ExplanationRequest) -> dict[str, Any]:
    """One verdict or sample explained at once, and kept."""
    ref = model_of(console, who, body.model_id)
    row = reports.ask(console, who, EXPLANATION, body, ref, at_once=True)
    try:
        return reports.make_now(console, row)
    except BaseException:
        # Nothing was explained: there is nothing to keep.
        reports.drop(console, row["id"])
        raise


async def _asked(
    request: Request,
    console: Services,
    who: Caller,
    report_type: str,
    body: Any,
    seconds: float,
) -> Response:
    """Write the report that is asked for, have it made, and wait for it as long as is wished."""
    ref = await run_in_threadpool(
        model_of, console, who, body.model_id, registered=report_type == BIAS
    )
    row = await run_in_threadpool(reports.ask, console, who, report_type, body, ref)
    await run_in_threadpool(
        console.note, who, f"{report_type}.create", row["id"], "queued", request
    )
    console.reports_asked.set()
    deadline = monotonic() + _wait(request, seconds)
    while monotonic() < deadline and not console.stopping:
        await asyncio.sleep(LOOK_SECONDS)
        found = await run_in_threadpool(reports.find, console, row["id"])
        if found is None or found["status"] in reports.FINAL:
            row = found or row
            break
    location = f"{PATHS[report_type]}/{row['id']}"
    return json_answer(
        answer_of(row), 200 if row["status"] in reports.FINAL else 202, {"Location": location}
    )


def _wait(request: Request, seconds: float) -> float:
    """How long the request waits, by its header ``Prefer``."""
    prefer = request.headers.get("prefer", "")
    if "respond-async" in prefer:
        return 0.0
    match = re.search(r"\bwait=(\d{1,4})\b", prefer)
    return seconds if match is None else min(float(match[1]), MOST_SECONDS)


def _read(
    request: Request, console: Services, who: Caller, report_type: str, report_id: str
) -> Response:
    row = report_row(console, who, report_type, report_id)
    body = answer_of(row)
    if "text/html" in request.headers.get("accept", ""):
        return printing.page(row, body)
    return json_answer(body)


def _listed(
    console: Services,
    who: Caller,
    report_type: str,
    model_id: str,
    limit: int,
    offset: int,
    status: str | None,
) -> Response:
    name = model_id.partition(":")
    if name[0] != "fleet" and name[1] and not who.sees(name[2]):
        raise forbidden()
    rows = reports.of_model(console, who, report_type, model_id, limit, offset, status)
    return json_answer([answer_of(row) for row in rows])


def _deleted(
    request: Request, console: Services, who: Caller, report_type: str, report_id: str, named: str
) -> Response:
    report_row(console, who, report_type, report_id)
    reports.drop(console, report_id)
    console.note(who, f"{report_type}.delete", report_id, "done", request)
    return json_answer({"message": f"{named} deleted successfully"})
