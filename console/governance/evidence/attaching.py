"""Attached documents in the store: rows of reports whose result is what counts of the document."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import insert, select

from console.answers import plain, rfc3339
from console.auth.permissions import Caller
from console.governance import reports
from console.governance.access import ModelRef, visible
from console.governance.reading.attached import says
from console.governance.reading.sources import Sources
from console.governance.requests import EVIDENCE, Name
from console.live.state import now_ms
from console.problems import Problem
from console.store import tables as t
from models.governance.documents import BadDocument, facts_of

AHEAD_MS = 300_000
"""So far may another machine's clock be ahead."""


class EvidenceRequest(BaseModel):
    """A document for a control."""

    model_id: Name = Field(description="fleet:<kind>.")
    control: Literal["T3", "T5", "R4", "R7"] = Field(
        description="T3: result of telltale backtest --check --json; T5: model card; R4: counts of "
        "transactions; R7: result of make chaos."
    )
    made_at: AwareDatetime = Field(description="When the document was made; its age counts from.")
    document: dict[str, Any] = Field(description="The document's JSON.")

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "model_id": "fleet:features",
                    "control": "R4",
                    "made_at": "2030-01-01T00:00:00Z",
                    "document": {"committed": 100_000, "aborted": 3},
                }
            ]
        },
    )


def attach(
    console: Sources, who: Caller, request: EvidenceRequest, ref: ModelRef
) -> dict[str, Any]:
    """Keep what counts of a document; its row.

    Raises:
        Problem: 422, the document does not hold what the control needs, or is of the future.
    """
    now, made = now_ms(), int(request.made_at.timestamp() * 1000)
    if made > now + AHEAD_MS:
        raise Problem(422, "invalid", f"made_at: expected a time that was, got {request.made_at}")
    try:
        facts = facts_of(request.control, ref.kind, request.document)
    except BadDocument as error:
        raise Problem(422, "invalid", f"document.{error}") from None
    digest = hashlib.sha256(orjson.dumps(request.document, option=orjson.OPT_SORT_KEYS))
    row = {
        "id": str(uuid.uuid4()),
        "type": EVIDENCE,
        "model_id": f"fleet:{ref.kind}",
        "dataset_id": None,
        "status": reports.COMPLETED,
        "request": {
            "control": request.control,
            "made_at": made,
            "sha256": digest.hexdigest(),
        },
        "result": facts,
        "offsets": None,
        "code_version": reports.code_version(),
        "seed": None,
        "by": who.subject,
        "organization_id": who.organization_id,
        "profile_prefix": who.profile_prefix,
        "kind": None,
        "profile_id": None,
        "error": None,
        "lease_until": None,
        "created_at": now,
        "completed_at": now,
        "expires_at": None,
    }
    with console.database.write() as connection:
        connection.execute(insert(t.reports).values(row))
    return row


def attached_to(console: Sources, who: Caller, model_id: str, limit: int) -> list[dict[str, Any]]:
    """Documents of a model that the caller may see, the latest attached first."""
    held = t.reports
    query = (
        select(held)
        .where(held.c.type == EVIDENCE, held.c.model_id == model_id, *visible(who, held))
        .order_by(held.c.created_at.desc(), held.c.id)
        .limit(limit)
    )
    with console.database.read() as connection:
        return [plain(row) for row in connection.execute(query).mappings()]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A document as an answer, with what it says today."""
    told = row["request"]
    status, sentence = says(told, row["result"], now_ms(), reports.code_version())
    return {
        "evidence_id": row["id"],
        "model_id": row["model_id"],
        "control": told["control"],
        "status": status,
        "evidence": sentence,
        "facts": row["result"],
        "document_sha256": told["sha256"],
        "made_at": rfc3339(told["made_at"]),
        "attached_at": rfc3339(row["created_at"]),
        "attached_by": row["by"],
        "organization_id": row["organization_id"],
    }
