"""Profiles, their versions and what happened to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy import select, tuple_

from console.answers import (
    After,
    Generation,
    Limit,
    VersionNumber,
    Word,
    json_answer,
    page,
    place,
    plain,
    rfc3339,
    rows_by_profile,
)
from console.auth.callers import Console, KindName, PathId, needs
from console.auth.permissions import MODEL_READ, Caller
from console.live.profiles import ProfileState
from console.live.state import now_ms
from console.problems import not_found
from console.services import Services
from console.store import tables as t

router = APIRouter(prefix="/api/v1/profiles", tags=["profiles"])
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
TIMES = ("last_verdict_at", "last_anomaly_at", "suppressed_until", "drifting_since")


def shown(state: dict[str, Any]) -> dict[str, Any]:
    """A profile as clients are told it."""
    times = (*TIMES, "first_seen_at", "updated_at")
    until, now = state["suppressed_until"], now_ms()
    suppressed = bool(state["suppressed"]) and (until is None or now < until)
    return state | {name: rfc3339(state[name]) for name in times} | {"suppressed": suppressed}


def found(console: Services, who: Caller, kind: str, profile_id: str) -> list[ProfileState]:
    """The profiles of an id, one for each partition that holds it.

    Raises:
        Problem: 404, there is none, or it is another organisation's.
    """
    states = list(console.state.profiles.of(kind, profile_id)) if who.sees(profile_id) else []
    if not states:
        raise not_found("there is no such profile")
    return states


@router.get("")
def list_profiles(
    request: Request,
    console: Console,
    who: Reader,
    kind: Annotated[Word | None, Query()] = None,
    state: Annotated[Literal["learning", "active"] | None, Query()] = None,
    prefix: Annotated[Word | None, Query(description="How the id begins.", max_length=256)] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Profiles in the order of kind, id and partition."""
    held = t.profiles.c
    query = select(t.profiles).where(who.own(held.profile_id))
    if kind is not None:
        query = query.where(held.kind == kind)
    if state is not None:
        query = query.where(held.state == state)
    if prefix is not None:
        query = query.where(held.profile_id.startswith(prefix, autoescape=True))
    rows = rows_by_profile(console.database, query, held, limit, after)
    cursors = [[row["kind"], row["profile_id"], row["partition"]] for row in rows]
    return page(request, [shown(row) for row in rows], limit, cursors)


@router.get("/{kind}/{profile_id}")
def get_profile(console: Console, who: Reader, kind: KindName, profile_id: PathId) -> Response:
    """A profile: state, progress, version, drift, window, last verdicts."""
    states = found(console, who, kind, profile_id)
    kept = t.verdicts.c
    with console.database.read() as connection:
        rows = connection.execute(
            select(kept.body)
            .where(kept.kind == kind, kept.profile_id == profile_id)
            .order_by(kept.scored_at.desc())
            .limit(10)
        ).all()
    newest = max(states, key=lambda state: state.updated_at)
    body = shown(newest.row()) | {
        "partitions": [state.partition for state in states],
        "verdicts": [row.body for row in rows],
    }
    return json_answer(body)


@router.get("/{kind}/{profile_id}/events")
def list_events(
    request: Request,
    console: Console,
    who: Reader,
    kind: KindName,
    profile_id: PathId,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """What happened to a profile, the newest first."""
    found(console, who, kind, profile_id)
    told = t.lifecycle_events.c
    order = (told.at, told.partition, told.offset)
    query = select(t.lifecycle_events).where(told.kind == kind, told.profile_id == profile_id)
    at = place(after, int, int, int)
    if at is not None:
        query = query.where(tuple_(*order) < tuple_(*at))
    newest = query.order_by(*(column.desc() for column in order)).limit(limit + 1)
    with console.database.read() as connection:
        rows = connection.execute(newest).mappings().all()
    items = [plain(row) | {"at": rfc3339(row["at"])} for row in rows]
    cursors = [[row["at"], row["partition"], row["offset"]] for row in rows]
    return page(request, items, limit, cursors)


@router.get("/{kind}/{profile_id}/versions")
def list_versions(console: Console, who: Reader, kind: KindName, profile_id: PathId) -> Response:
    """All versions that the console has seen, the newest first."""
    rows = _versions(console, who, kind, profile_id)
    if not rows:
        found(console, who, kind, profile_id)
    return json_answer({"items": rows})


@router.get("/{kind}/{profile_id}/versions/{version}")
def get_version(
    console: Console,
    who: Reader,
    kind: KindName,
    profile_id: PathId,
    version: VersionNumber,
    generation: Generation = None,
) -> Response:
    """One version: provenance, and what the gate measured; of the latest generation by default."""
    for row in _versions(console, who, kind, profile_id):
        if row["version"] == version and generation in (None, row["generation"]):
            return json_answer(row)
    raise not_found("there is no such version")


def _versions(console: Services, who: Caller, kind: str, profile_id: str) -> list[dict[str, Any]]:
    if not who.sees(profile_id):
        return []
    held = t.model_versions.c
    query = (
        select(t.model_versions)
        .where(held.kind == kind, held.profile_id == profile_id)
        .order_by(held.generation.desc(), held.version.desc())
        .limit(1000)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).mappings().all()
    times = ("trained_at", "created_at", "updated_at")
    return [plain(row) | {name: rfc3339(row[name]) for name in times} for row in rows]
