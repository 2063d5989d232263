"""Verdicts: one by its id, and lists of those that are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy import select, tuple_

from console.answers import ACCEPTED, After, Limit, Word, json_answer, page, place
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import MODEL_READ, Caller
from console.gateway.submit import answered, refusal
from console.lab.triage.ranking import rank
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.store import tables as t
from schemas.times import rfc3339_ms

router = APIRouter(prefix="/api/v1/verdicts", tags=["verdicts"])
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
UNKNOWN = "no such verdict is kept: normal ones are, where they were drawn or answered with 202"


@router.get("/{verdict_id}", responses=ACCEPTED)
def get_verdict(console: Console, who: Reader, verdict_id: PathId) -> Response:
    """A verdict; 202 while it is awaited, 422 where its record became a dead letter."""
    with console.database.read() as connection:
        kept = t.verdicts.c
        row = connection.execute(
            select(kept.profile_id, kept.body).where(kept.verdict_id == verdict_id)
        ).first()
        awaited = connection.execute(
            select(t.awaited).where(t.awaited.c.verdict_id == verdict_id)
        ).first()
        letter = connection.execute(
            select(t.dead_letters).where(t.dead_letters.c.source == verdict_id)
        ).first()
    if row is not None and who.sees(row.profile_id):
        return json_answer(answered(row.body))
    # Of a dead letter, whose it was is known only to whoever still waits for it.
    mine = awaited is not None and who.sees(awaited.profile_id)
    if letter is not None and (mine or not who.profile_prefix):
        raise refusal(letter.reason, letter.detail, verdict_id=verdict_id)
    if awaited is not None and mine and awaited.expires_at >= now_ms():
        return json_answer({"verdict_id": verdict_id, "status": "awaited"}, 202)
    raise not_found(UNKNOWN)


@router.get("")
def list_verdicts(
    request: Request,
    console: Console,
    who: Reader,
    kind: Annotated[Word | None, Query()] = None,
    profile_id: Annotated[Word | None, Query()] = None,
    severity: Annotated[
        Literal["none", "low", "medium", "high", "critical"] | None, Query()
    ] = None,
    label: Annotated[Literal["anomaly", "normal", "unsure"] | None, Query()] = None,
    suppressed: Annotated[bool | None, Query()] = None,
    since: Annotated[Word | None, Query(description="RFC 3339.")] = None,
    until: Annotated[Word | None, Query(description="RFC 3339.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Anomalies, and normal verdicts that were drawn, the newest first."""
    kept = t.verdicts.c
    query = select(kept.verdict_id, kept.scored_at, kept.weight, kept.body).where(
        who.own(kept.profile_id)
    )
    for column, value in (
        (kept.kind, kind),
        (kept.profile_id, profile_id),
        (kept.severity, severity),
        (kept.suppressed, suppressed),
    ):
        if value is not None:
            query = query.where(column == value)
    if label is not None:
        said = select(t.labels.c.verdict_id).where(t.labels.c.label == label)
        query = query.where(kept.verdict_id.in_(said))
    if since is not None:
        query = query.where(kept.scored_at >= moment(since, "since"))
    if until is not None:
        query = query.where(kept.scored_at < moment(until, "until"))
    at = place(after, int, str)
    if at is not None:
        query = query.where(tuple_(kept.scored_at, kept.verdict_id) < tuple_(*at))
    query = query.order_by(kept.scored_at.desc(), kept.verdict_id.desc()).limit(limit + 1)
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    items = [row.body | {"weight": row.weight} for row in rows]
    items = rank(console.database, console.settings.data_dir, who, items)
    return page(request, items, limit, [[row.scored_at, row.verdict_id] for row in rows])


def moment(text: str, name: str) -> int:
    """Epoch milliseconds of a time in a query.

    Raises:
        Problem: 422, it is none.
    """
    try:
        return rfc3339_ms(text)
    except ValueError:
        raise Problem(
            422, "invalid_request", f"{name}: expected RFC 3339 with zone, got {text[:50]!r}"
        ) from None
