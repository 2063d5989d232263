"""A compliance report: evidence of all controls, under a framework."""

from __future__ import annotations

from typing import Any

from console.governance.access import ModelRef
from console.governance.making.bias import scope_of
from console.governance.reading.attached import of_documents
from console.governance.reading.evidence import of_store
from console.governance.reading.sources import Sources
from console.governance.reading.surroundings import of_surroundings
from console.governance.reports import code_version
from console.governance.requests import ComplianceRequest
from models.governance.compliance import assess


def make_compliance(
    console: Sources, ref: ModelRef, request: ComplianceRequest, prefix: str, now: int
) -> dict[str, Any]:
    """The result of a self-assessment; what cannot be seen is unknown."""
    scope = scope_of(ModelRef(ref.kind), prefix, "30d", now)
    version = code_version()
    found = (
        of_surroundings(console)
        | of_store(console, scope, now)
        | of_documents(console, scope, now, version)
    )
    scope_names = list(dict.fromkeys(request.assessment_scope))
    return assess(request.framework, scope_names, found)
