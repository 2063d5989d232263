"""Labels: what people say of verdicts, and which to look at next."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from itertools import chain, zip_longest
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import select, tuple_

from console.answers import TABLE, After, Limit, Word, json_answer, page, place, plain, rfc3339
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import LABEL_WRITE, Caller
from console.curation.accepting import NotAccepted, accept_once
from console.curation.audit_queue import chance_of
from console.live.events import Labelled
from console.live.state import now_ms
from console.problems import not_found
from console.routes.verdicts import moment
from console.services import Services
from console.store import tables as t
from console.store.annotations import put_label
from processor.topics import Topics
from schemas import Label

router = APIRouter(prefix="/api/v1", tags=["labels"])
Labeller = Annotated[Caller, Depends(needs(LABEL_WRITE))]
DAY_MS = 86_400_000
MOST_SCANNED = 20_000
COLUMNS = ("verdict_id", "kind", "profile_id", "label", "source", "weight", "note", "by", "at")


class LabelBody(BaseModel):
    """What somebody says of a verdict."""

    label: Literal["anomaly", "normal", "unsure"]
    note: Word | None = None

    model_config = {
        "json_schema_extra": {"examples": [{"label": "normal", "note": "a test of the pump"}]}
    }


@router.put("/verdicts/{verdict_id}/label")
def put(
    request: Request, console: Console, who: Labeller, verdict_id: PathId, body: LabelBody
) -> Response:
    """Label a verdict; `normal` on an alert makes its record a sample of normal as well, once."""
    verdict = _verdict(console, who, verdict_id)
    accepted, why = False, None
    if body.label == "normal" and verdict.anomaly:
        try:
            accept_once(console, verdict)
            accepted = True
        except NotAccepted as error:
            why = str(error)
    source, weight = _draw(verdict)
    label = Label(
        label=body.label,
        source=source,
        weight=weight,
        note=body.note,
        by=who.subject,
        at=now_ms(),
        accepted=accepted,
    )
    _say(console, verdict, label)
    console.note(who, "label.put", verdict_id, body.label, request)
    shown = _shown({"verdict_id": verdict_id, **_own(verdict), **label.model_dump()})
    return json_answer(shown if why is None else shown | {"not_accepted": why})


@router.get("/verdicts/{verdict_id}/label")
def get(console: Console, who: Labeller, verdict_id: PathId) -> Response:
    """The label of a verdict."""
    with console.database.read() as connection:
        row = (
            connection.execute(select(t.labels).where(t.labels.c.verdict_id == verdict_id))
            .mappings()
            .first()
        )
    if row is None or not who.sees(row["profile_id"]):
        raise not_found("there is no label of such a verdict")
    return json_answer(_shown(plain(row)))


@router.delete("/verdicts/{verdict_id}/label", status_code=204)
def delete(request: Request, console: Console, who: Labeller, verdict_id: PathId) -> Response:
    """Take a label back; what was accepted as normal stays so."""
    with console.database.read() as connection:
        row = connection.execute(
            select(t.labels).where(t.labels.c.verdict_id == verdict_id)
        ).first()
    if row is None or not who.sees(row.profile_id):
        raise not_found("there is no label of such a verdict")
    _say(console, row, None)
    console.note(who, "label.delete", verdict_id, "done", request)
    return Response(status_code=204)


@router.get("/labels", responses=TABLE)
def list_labels(
    request: Request,
    console: Console,
    who: Labeller,
    kind: Annotated[Word | None, Query()] = None,
    profile_id: Annotated[Word | None, Query()] = None,
    label: Annotated[Literal["anomaly", "normal", "unsure"] | None, Query()] = None,
    since: Annotated[Word | None, Query(description="RFC 3339.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Labels, the newest first; `Accept: text/csv` gives all of them as one table."""
    held = t.labels.c
    query = select(t.labels).where(who.own(held.profile_id))
    for column, value in ((held.kind, kind), (held.profile_id, profile_id), (held.label, label)):
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(held.at >= moment(since, "since"))
    query = query.order_by(held.at.desc(), held.verdict_id.desc())
    if "text/csv" in request.headers.get("accept", ""):
        return _table(console, query)
    at = place(after, int, str)
    if at is not None:
        query = query.where(tuple_(held.at, held.verdict_id) < tuple_(*at))
    with console.database.read() as connection:
        rows = connection.execute(query.limit(limit + 1)).mappings().all()
    cursors = [[row["at"], row["verdict_id"]] for row in rows]
    return page(request, [_shown(plain(row)) for row in rows], limit, cursors)


@router.get("/audit-queue")
def audit_queue(
    console: Console,
    who: Labeller,
    kind: Annotated[Word | None, Query()] = None,
    attribute: Annotated[
        str | None, Query(description="Its values take turns with the bands of p-values.")
    ] = None,
    since: Annotated[Word | None, Query(description="RFC 3339; a day ago by default.")] = None,
    until: Annotated[Word | None, Query(description="RFC 3339.")] = None,
    limit: Limit = 50,
) -> Response:
    """Verdicts without an alarm to label next, each with the chance that it had of being drawn.

    Groups of profiles and bands of p-values take turns. The chances hold where the queue of a
    period is labelled to its end.
    """
    kept = t.verdicts.c
    begin = now_ms() - DAY_MS if since is None else moment(since, "since")
    query = (
        select(kept.verdict_id, kept.kind, kept.profile_id, kept.weight, kept.body)
        .outerjoin(t.labels, t.labels.c.verdict_id == kept.verdict_id)
        .where(
            ~kept.anomaly,
            ~kept.suppressed,
            kept.status == "scored",
            kept.weight > 0,
            kept.scored_at >= begin,
            t.labels.c.verdict_id.is_(None),
            who.own(kept.profile_id),
        )
        .order_by(kept.scored_at, kept.verdict_id)
        .limit(MOST_SCANNED)
    )
    if kind is not None:
        query = query.where(kept.kind == kind)
    if until is not None:
        query = query.where(kept.scored_at < moment(until, "until"))
    with console.database.read() as connection:
        rows = connection.execute(query).all()
        groups = _groups(connection, attribute)
    strata: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        drawn = chance_of(row.verdict_id, row.body, row.weight)
        if drawn is None:
            continue
        group = groups.get((row.kind, row.profile_id), "unknown")
        item = {
            "verdict_id": row.verdict_id,
            "chance": drawn.chance,
            "group": group if attribute is not None else None,
            "band": drawn.band,
            "verdict": row.body,
        }
        strata[group, drawn.band].append(item)
    turns = chain.from_iterable(zip_longest(*(strata[name] for name in sorted(strata))))
    return json_answer({"items": [item for item in turns if item is not None][:limit]})


def _groups(connection: Any, attribute: str | None) -> dict[tuple[str, str], str]:
    if attribute is None:
        return {}
    held = t.profile_attributes.c
    rows = connection.execute(
        select(held.kind, held.profile_id, held.value).where(held.name == attribute)
    )
    return {(row.kind, row.profile_id): row.value.strip('"') for row in rows}


def _verdict(console: Services, who: Caller, verdict_id: str) -> Any:
    with console.database.read() as connection:
        row = connection.execute(
            select(t.verdicts).where(t.verdicts.c.verdict_id == verdict_id)
        ).first()
    if row is None or not who.sees(row.profile_id):
        raise not_found("no such verdict is kept: anomalies are, and normal ones that were drawn")
    return row


def _draw(verdict: Any) -> tuple[Literal["analyst", "audit"], float | None]:
    """From where a label comes, and its weight: None where the chance is not known."""
    if verdict.anomaly:
        return "analyst", 1.0
    drawn = chance_of(verdict.verdict_id, verdict.body, verdict.weight)
    return ("analyst", None) if drawn is None else ("audit", 1.0 / drawn.chance)


def _say(console: Services, row: Any, label: Label | None) -> None:
    """To the topic first, which is what survives; then to the store, for whoever asks at once."""
    key = f"{row.kind}:{row.profile_id}:{row.verdict_id}".encode()
    value = None if label is None else label.model_dump_json().encode()
    topic = Topics(console.kafka.topic_prefix).labels
    _, offset = console.producing.send_now(topic, key, value, row.partition)
    at = now_ms() if label is None else label.at
    seen = Labelled(row.verdict_id, row.kind, row.partition, row.profile_id, label, at)
    with console.database.write() as connection:
        put_label(console.database, connection, seen, offset)


def _own(row: Any) -> dict[str, Any]:
    return {"kind": row.kind, "profile_id": row.profile_id}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    left = {name: row[name] for name in row if name not in ("partition", "record_offset")}
    return left | {"at": rfc3339(row["at"])}


def _table(console: Services, query: Any) -> Response:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    with console.database.read() as connection:
        for row in connection.execute(query).mappings():
            writer.writerow(_shown(plain(row)))
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8")
