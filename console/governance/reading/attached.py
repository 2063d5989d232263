"""Evidence for controls from documents that people attached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from console.governance.reading.evidence import Evidence
from console.governance.reading.fleets import DAY_MS, Scope
from console.governance.reading.sources import Sources
from console.governance.requests import EVIDENCE
from console.store import tables as t
from models.governance.compliance import UNKNOWN, Status
from models.governance.documents import DOCUMENTS, Facts, judged

MOST = 1000
"""Of the latest documents of a kind so many are looked at."""


def of_documents(console: Sources, scope: Scope, now: int, version: str) -> Evidence:
    """What is attached for T3, T5, R4 and R7: of each control the document made last.

    An organisation's own documents count, and those of the whole console if they are about the
    installation.

    Args:
        version: of the program that runs.
    """
    latest: dict[str, Any] = {}
    for row in _documents(console, scope):
        control = row.request["control"]
        held = DOCUMENTS.get(control)
        if held is None or (row.profile_prefix != scope.prefix and not held.of_installation):
            continue
        known = latest.get(control)
        if known is None or row.request["made_at"] > known.request["made_at"]:
            latest[control] = row
    found: Evidence = {}
    for control, held in DOCUMENTS.items():
        row = latest.get(control)
        if row is None:
            found[control] = (UNKNOWN, f"no {held.name} is attached")
            continue
        found[control] = says(row.request, row.result, now, version)
    return found


def says(told: Mapping[str, Any], facts: Facts, now: int, version: str) -> tuple[Status, str]:
    """The status of a document's control at a time, epoch milliseconds, and a sentence.

    Args:
        told: control, and when the document was made.
        version: of the program that runs.
    """
    age = max(0.0, (now - told["made_at"]) / DAY_MS)
    return judged(told["control"], facts, age, version)


def _documents(console: Sources, scope: Scope) -> list[Any]:
    held = t.reports.c
    query = (
        select(held.request, held.result, held.profile_prefix)
        .where(
            held.type == EVIDENCE,
            held.model_id == f"fleet:{scope.kind}",
            held.profile_prefix.in_((scope.prefix, "")),
        )
        .order_by(held.created_at.desc(), held.id)
        .limit(MOST)
    )
    with console.database.read() as connection:
        return list(connection.execute(query).all())
