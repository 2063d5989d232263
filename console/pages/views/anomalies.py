"""The anomalies: a table to judge them one after the other, why each is one, its raw records."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select

from console.answers import After, cursor
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import LABEL_WRITE, MODEL_READ, Caller
from console.pages import found_anomalies as anomalies_found
from console.pages import raw_records
from console.pages.found_anomalies import Wanted
from console.pages.rendering import PREFIX, render
from console.problems import not_found
from console.services import Services
from console.store import tables as t
from models.features import KINDS

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
Labeller = Annotated[Caller, Depends(needs(LABEL_WRITE))]
"""Raw telemetry is what people did: it is read by those who judge, not by all who look."""

PAGE = 50


@router.get("/anomalies")
def anomalies(
    request: Request,
    console: Console,
    who: Reader,
    wanted: Annotated[Wanted, Depends()],
    after: After = None,
    opened: Annotated[str | None, Query(alias="open", max_length=300)] = None,
) -> Response:
    """The page; ``after`` is the cursor of the page before."""
    rows, more = anomalies_found.find(console, who, wanted, after, PAGE)
    return render(
        request,
        "anomalies.html",
        who,
        rows=rows,
        more=None if more is None else cursor(more),
        first=after is None,
        wanted=wanted,
        opened=opened,
        kinds=list(KINDS),
        severities=anomalies_found.SEVERITIES,
        labels=anomalies_found.LABELS,
        lasts=list(anomalies_found.LASTS),
        can_label=LABEL_WRITE in who.permissions,
        export_query=partial(_export_query, request),
    )


def _export_query(request: Request, form: str) -> str:
    left = [(k, v) for k, v in request.query_params.multi_items() if k not in ("after", "open")]
    return urlencode([*left, ("format", form)])


@router.get("/anomalies/export")
def export(
    console: Console,
    who: Reader,
    wanted: Annotated[Wanted, Depends()],
    form: Annotated[Literal["csv", "json"], Query(alias="format")] = "csv",
) -> Response:
    """All of the wanted anomalies as a file, the newest first, 100,000 at most."""
    wanted.conditions(who)  # what is wrong with it is said before the first byte
    chunks = anomalies_found.every(console, who, wanted)
    written = anomalies_found.as_csv(chunks) if form == "csv" else anomalies_found.as_json(chunks)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/json"
    headers = {
        "Content-Disposition": f'attachment; filename="anomalies.{form}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(written, headers=headers, media_type=kind)


@router.get("/anomalies/{verdict_id}")
def one(request: Request, console: Console, who: Reader, verdict_id: PathId) -> Response:
    """A verdict's own page: its label, why it is an anomaly, and what people say of it."""
    row = _row(console, who, verdict_id)
    label = _label(console, verdict_id)
    told = {"label": None, "note": None} if label is None else label
    return render(
        request,
        "verdict.html",
        who,
        verdict=anomalies_found.complete(row.body, label=told["label"], note=told["note"]),
        can_label=LABEL_WRITE in who.permissions,
    )


@router.get("/anomalies/{verdict_id}/why")
def why(request: Request, console: Console, who: Reader, verdict_id: PathId) -> Response:
    """A part of the page: the whole explanation of an anomaly."""
    row = _row(console, who, verdict_id)
    return render(
        request,
        "anomaly_why.html",
        who,
        verdict=anomalies_found.complete(row.body),
        label=_label(console, verdict_id),
        can_label=LABEL_WRITE in who.permissions,
    )


@router.get("/anomalies/{verdict_id}/records")
def records(request: Request, console: Console, who: Labeller, verdict_id: PathId) -> Response:
    """A part of the page: the raw record and its neighbours, ten minutes to each side."""
    row = _row(console, who, verdict_id)
    around = raw_records.around(console, row)
    return render(
        request,
        "anomaly_records.html",
        who,
        around=around,
        verdict=anomalies_found.complete(row.body),
        readable=raw_records.readable,
        in_short=raw_records.in_short,
    )


def _label(console: Services, verdict_id: str) -> Any:
    said = t.labels.c
    query = select(said.label, said.note, said.by, said.at, said.accepted)
    with console.database.read() as connection:
        found = connection.execute(query.where(said.verdict_id == verdict_id))
        return found.mappings().first()


def _row(console: Services, who: Caller, verdict_id: str) -> Any:
    with console.database.read() as connection:
        row = connection.execute(
            select(t.verdicts).where(t.verdicts.c.verdict_id == verdict_id)
        ).first()
    if row is None or not who.sees(row.profile_id):
        raise not_found("there is no such anomaly")
    return row
