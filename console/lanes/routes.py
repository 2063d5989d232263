"""Endpoints of the lanes, and of the search for profiles."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from sqlalchemy import select

from console.answers import Word, json_answer, rfc3339
from console.auth.callers import Console, needs
from console.auth.permissions import DATA_WRITE, MODEL_READ, Caller
from console.figures.palette import SEVERITIES
from console.lanes.query import Found, Wanted, find_lanes, told
from console.lanes.search import FOUND, search
from console.live.state import now_ms
from console.problems import Problem
from console.routes.verdicts import moment
from console.services import Services
from console.store import tables as t

router = APIRouter(prefix="/api/v1", tags=["profiles"])
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
Top = Literal[10, 20, 30, 50]
Sort = Literal["severity", "count"]
TOPS: tuple[int, ...] = get_args(Top)
DAY_MS = 86_400_000
ALL = ",".join(SEVERITIES)
LONGEST = 366 * DAY_MS
VIEWS = "profile, kind, feature or attribute:<name>"


@router.get("/lanes")
def get_lanes(
    console: Console,
    who: Reader,
    since: Annotated[Word | None, Query(description="RFC 3339; a day ago by default.")] = None,
    until: Annotated[Word | None, Query(description="RFC 3339; now by default.")] = None,
    view: Annotated[Word, Query(description=f"What a lane is of: {VIEWS}.")] = "profile",
    sort: Sort = "severity",
    top: Annotated[int, Query(description="Lanes: 10, 20, 30 or 50.")] = 10,
    severities: Annotated[
        Word, Query(description="Those that count, with commas between them.")
    ] = ALL,
    kind: Annotated[Word | None, Query()] = None,
) -> Response:
    """Swim lanes: the worst severity, largest score and anomalies of each interval.

    Anomalies in a maintenance window are left out. Times are those of scoring; an interval is five
    minutes at least, and there are at most 97 of them.
    """
    begin, end = stretch(since, until)
    if top not in TOPS:
        raise Problem(422, "invalid_request", f"top: expected one of {TOPS}, got {top}")
    found, view = lanes_of(
        console,
        who,
        Wanted(begin, end, view, sort, top, chosen_severities(severities), kind),
    )
    body = {"since": rfc3339(begin), "until": rfc3339(end), "view": view, "sort": sort}
    return json_answer(body | told(found, view))


@router.get("/profiles/search")
def search_profiles(
    console: Console,
    who: Reader,
    q: Annotated[Word, Query(min_length=1, max_length=256)],
    limit: Annotated[int, Query(ge=1, le=50)] = FOUND,
) -> Response:
    """Profiles whose id holds a text, those that begin with it first."""
    rows = search(console.state.profiles, who.profile_prefix, q, limit)
    items: list[dict[str, Any]] = [
        {"kind": state.kind, "profile_id": state.profile_id, "state": state.state} for state in rows
    ]
    return json_answer({"items": items})


def stretch(since: str | None, until: str | None) -> tuple[int, int]:
    """A stretch of time, epoch milliseconds; the latest day if nothing else is said.

    Raises:
        Problem: 422, no times, or none in between.
    """
    end = now_ms() if until is None else moment(until, "until")
    begin = end - DAY_MS if since is None else moment(since, "since")
    if not begin < end <= begin + LONGEST:
        raise Problem(
            422, "invalid_request", "since: expected a time before until, by 366 days at most"
        )
    return begin, end


def chosen_severities(text: str) -> tuple[str, ...]:
    """Severities of a list with commas.

    Raises:
        Problem: 422, another word.
    """
    words = [word for word in text.split(",") if word]
    for word in words:
        if word not in SEVERITIES:
            raise Problem(
                422,
                "invalid_request",
                f"severities: expected {', '.join(SEVERITIES)}, got {word[:50]!r}",
            )
    return tuple(name for name in SEVERITIES if name in words)


def lanes_of(console: Services, who: Caller, wanted: Wanted) -> tuple[Found, str]:
    """The lanes of what a caller sees, and the view: ``attribute`` for one by an attribute.

    Args:
        wanted: its view as clients say it; its prefix is the caller's, whatever it says.

    Raises:
        Problem: 422, no such view; 403, attributes are not for this caller.
    """
    view, _, name = wanted.view.partition(":")
    attribute = None
    if view == "attribute" and name:
        if DATA_WRITE not in who.permissions:
            raise Problem(403, "forbidden", f"expected the permission {DATA_WRITE}")
        attribute = values_of(console, who, name)
    elif wanted.view not in ("profile", "kind", "feature"):
        raise Problem(422, "invalid_request", f"view: expected {VIEWS}, got {wanted.view[:50]!r}")
    asked = Wanted(
        wanted.since,
        wanted.until,
        view,
        wanted.sort,
        wanted.top,
        wanted.severities,
        wanted.kind,
        who.profile_prefix,
        attribute,
    )
    return find_lanes(console.state.lanes, console.database, asked), view


def values_of(console: Services, who: Caller, name: str) -> dict[tuple[str, str], str]:
    """(kind, profile_id) → value of an attribute, of the profiles that a caller sees."""
    held = t.profile_attributes.c
    query = select(held.kind, held.profile_id, held.value).where(
        held.name == name, who.own(held.profile_id)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    # Text is stored in quotes; of anything else, JSON is what people read.
    return {
        (kind, profile_id): str(orjson.loads(value)) if value.startswith('"') else value
        for kind, profile_id, value in rows
    }


def attribute_names(console: Services, who: Caller, most: int = 30) -> list[str]:
    """Names of attributes that profiles have, for those who may see them."""
    if DATA_WRITE not in who.permissions:
        return []
    held = t.profile_attributes.c
    query = select(held.name).where(who.own(held.profile_id)).distinct().order_by(held.name)
    with console.database.read() as connection:
        return list(connection.execute(query.limit(most)).scalars())
