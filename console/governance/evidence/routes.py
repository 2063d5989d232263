"""Endpoints of documents that are attached as evidence."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from console.answers import Limit, Word, json_answer
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import COMPLIANCE_ACCESS, Caller
from console.governance import reports
from console.governance.access import model_of, report_row
from console.governance.evidence.attaching import EvidenceRequest, attach, attached_to, shown
from console.governance.requests import EVIDENCE

router = APIRouter(prefix="/api/v1/compliance/evidence", tags=["governance"])
Auditor = Annotated[Caller, Depends(needs(COMPLIANCE_ACCESS))]


@router.post("", status_code=201)
def attach_evidence(
    request: Request, console: Console, who: Auditor, body: EvidenceRequest
) -> Response:
    """Attach a document to a control; what it must hold is checked, and what it says is judged."""
    ref = model_of(console, who, body.model_id)
    row = attach(console, who, body, ref)
    console.note(who, f"{EVIDENCE}.create", row["id"], "done", request)
    return json_answer(shown(row), 201)


@router.get("/model/{model_id}")
def list_evidence(console: Console, who: Auditor, model_id: PathId, limit: Limit = 50) -> Response:
    """Documents attached for a kind's models, the latest first."""
    ref = model_of(console, who, model_id)
    rows = attached_to(console, who, f"fleet:{ref.kind}", limit)
    return json_answer([shown(row) for row in rows])


@router.delete("/{evidence_id}")
def delete_evidence(
    request: Request, console: Console, who: Auditor, evidence_id: Word
) -> Response:
    """Delete a document."""
    report_row(console, who, EVIDENCE, evidence_id)
    reports.drop(console, evidence_id)
    console.note(who, f"{EVIDENCE}.delete", evidence_id, "done", request)
    return json_answer({"message": "Evidence deleted successfully"})
