"""Models: those in force, by profile; and what each of them is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy import func, select

from console.answers import (
    After,
    Limit,
    Word,
    json_answer,
    page,
    page_by_creation,
    plain,
    rfc3339,
    rows_by_profile,
)
from console.auth.callers import Console, ModelId, needs
from console.auth.permissions import MODEL_READ, Caller
from console.lab.registry.storing import model_row, visible
from console.problems import not_found
from console.services import Services
from console.store import tables as t
from models.features import KINDS

router = APIRouter(tags=["models"])
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
TIMES = ("trained_at", "created_at", "updated_at")
FLEET = "fleet"


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A version as a model."""
    own = f"{row['kind']}:{row['profile_id']}"
    identity = {"id": own if row["in_force"] else f"{own}@{row['version']}", "family": "detector"}
    return identity | row | {name: rfc3339(row[name]) for name in TIMES}


@router.get("/api/v1/models")
@router.get("/api/models")
def list_models(
    request: Request,
    console: Console,
    who: Reader,
    family: Annotated[Literal["detector", "triage", "imported"] | None, Query()] = None,
    kind: Annotated[Word | None, Query()] = None,
    profile_id: Annotated[Word | None, Query()] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Models in force, in the order of kind, profile and partition."""
    held = t.model_versions.c
    query = select(t.model_versions).where(held.in_force, who.own(held.profile_id))
    if family not in (None, "detector"):
        return registered(request, console, who, family, kind, limit, after)
    if kind is not None:
        query = query.where(held.kind == kind)
    if profile_id is not None:
        query = query.where(held.profile_id == profile_id)
    rows = rows_by_profile(console.database, query, held, limit, after)
    cursors = [[row["kind"], row["profile_id"], row["partition"]] for row in rows]
    return page(request, [shown(row) for row in rows], limit, cursors)


@router.get("/api/v1/models/{model_id}")
@router.get("/api/models/{model_id}")
def get_model(console: Console, who: Reader, model_id: ModelId) -> Response:
    """A model: `<kind>:<profile_id>`, `<kind>:<profile_id>@<version>`, or `fleet:<kind>`."""
    row = model_row(console.database, who, model_id)
    if row is not None:
        return json_answer(registered_shown(row))
    kind, _, name = model_id.partition(":")
    if kind == FLEET and name in KINDS:
        return json_answer(_fleet(console, who, name))
    rows = _versions(console, who, kind, name)
    version = None
    if not rows:
        name, _, told = name.rpartition("@")
        version = int(told) if told.isascii() and told.isdigit() and len(told) < 10 else None
        rows = _versions(console, who, kind, name) if version is not None else []
    wanted = [row for row in rows if version in (None, row["version"])]
    if not wanted:
        raise not_found("there is no such model")
    best = max(wanted, key=lambda row: (row["in_force"], row["generation"], row["version"]))
    provenance = best["provenance"] or {}
    used = {
        "profile": {name: best[name] for name in ("kind", "partition", "profile_id")},
        "in_force": best["in_force"],
    }
    parameters = provenance.get("parameters")
    return json_answer(shown(best) | {"parameters": parameters, "used": used})


def registered(
    request: Request,
    console: Services,
    who: Caller,
    family: str,
    kind: str | None,
    limit: int,
    after: str | None,
) -> Response:
    """Uploads, or triage models, the newest first."""
    held = t.registered_models.c
    query = select(t.registered_models).where(held.family == family, visible(who))
    if kind is not None:
        query = query.where(held.kind == kind)
    return page_by_creation(request, console.database, query, held, limit, after, registered_shown)


def registered_shown(row: dict[str, Any]) -> dict[str, Any]:
    """A registered model as the API has it."""
    told = {k: v for k, v in row.items() if k not in ("path", "trained_on", "flagged_at")}
    return told | {
        "created_at": rfc3339(row["created_at"]),
        "flagged": row["flagged_at"] is not None,
    }


def detector_exists(console: Services, who: Caller, model_id: str) -> bool:
    """Whether a name is that of a detector that the caller sees, or of all of a kind."""
    kind, _, name = model_id.partition(":")
    if kind == FLEET:
        return name in KINDS
    bare = name.rpartition("@")[0]
    return any(_versions(console, who, kind, each) for each in (name, bare) if each)


def _versions(console: Services, who: Caller, kind: str, profile_id: str) -> list[dict[str, Any]]:
    if not profile_id or not who.sees(profile_id):
        return []
    held = t.model_versions.c
    query = select(t.model_versions).where(held.kind == kind, held.profile_id == profile_id)
    with console.database.read() as connection:
        return [plain(row) for row in connection.execute(query.limit(1000)).mappings()]


def _fleet(console: Services, who: Caller, kind: str) -> dict[str, Any]:
    """All models of a kind that are in force, as one."""
    held = t.model_versions.c
    query = (
        select(held.detector, func.count().label("models"), func.max(held.trained_at).label("at"))
        .where(
            held.kind == kind,
            held.in_force,
            who.own(held.profile_id),
        )
        .group_by(held.detector)
        .order_by(held.detector)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    newest = max((row.at for row in rows), default=None)
    return {
        "id": f"{FLEET}:{kind}",
        "family": "detector",
        "kind": kind,
        "models": sum(row.models for row in rows),
        "detectors": {row.detector: row.models for row in rows},
        "trained_at": rfc3339(newest),
        "alert_budget": console.kafka.alert_budget,
    }
