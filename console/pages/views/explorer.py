"""The Explorer: who was abnormal when, in swim lanes; what is chosen there, below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from console.answers import rfc3339
from console.auth.callers import Console, needs
from console.auth.permissions import LABEL_WRITE, MODEL_READ, Caller
from console.figures import (
    SEVERITIES,
    anomalies_over_time,
    for_page,
    swim_lanes,
    values_over_time,
)
from console.lanes.query import Found
from console.lanes.routes import TOPS, attribute_names
from console.pages import explorer as data
from console.pages import explorer_marks as drawn
from console.pages.explorer import Asked
from console.pages.rendering import PREFIX, profile_path, render
from console.services import Services
from models.features import KINDS

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]


@router.get("/explorer")
def explorer(
    request: Request, console: Console, who: Reader, asked: Annotated[Asked, Depends()]
) -> Response:
    """The page; every state of it is in its address."""
    asked, found, view = data.fitted(console, who, asked)
    whole = (found.starts[0], found.starts[-1] + found.width)
    keys = data.charted(found, view, asked)
    changed = drawn.changes(console, who, keys, whole)
    rows, more = data.anomalies(console, who, asked, found, view)
    window = asked.window()
    chosen = data.chosen_numbers(found, view, asked)
    heat = swim_lanes(
        found.starts,
        found.width,
        found.overall,
        found.lanes,
        events=drawn.on_axis(changed),
        chosen=chosen,
        window=window,
    )
    shown = {name: counts for name, counts in found.counts.items() if name in asked.shown}
    return render(
        request,
        "explorer.html",
        who,
        asked=asked,
        view=view,
        found=found,
        heat=for_page(heat),
        heat_height=heat.layout.height,
        bars=for_page(anomalies_over_time(found.starts, found.width, shown)),
        totals={name: sum(found.counts[name]) for name in reversed(SEVERITIES)},
        names=[data.lane_name(key, view) for key in found.keys],
        rows_of_lanes=_table(found, view),
        charts=_charts(console, who, keys, changed, window or whole),
        rows=rows,
        more=more,
        window=window,
        lasts=list(data.LASTS),
        tops=TOPS,
        kinds=list(KINDS),
        attributes=attribute_names(console, who),
        can_label=LABEL_WRITE in who.permissions,
        with_lanes=_with_lanes(request),
        without_lane=lambda name: _with_lanes(request)(
            [each for each in asked.lane or () if each != name], asked.begin, asked.end
        ),
        all_anomalies=_anomalies_link(asked, window or whole, view),
    )


def _with_lanes(request: Request) -> Callable[..., str]:
    """A function that gives the page's own address with lanes and a stretch of time chosen."""

    def changed(names: Sequence[str], begin: str = "", end: str = "") -> str:
        held = [
            pair for pair in parse_qsl(request.url.query) if pair[0] not in ("lane", "from", "to")
        ]
        held += [("lane", name) for name in names]
        held += [(name, at) for name, at in (("from", begin), ("to", end)) if at]
        return f"{request.url.path}?{urlencode(held)}"

    return changed


def _table(found: Found, view: str) -> list[dict[str, Any]]:
    """The lanes as rows of a table: the same for those who do not see colours, or use keys."""
    return [
        {
            "name": data.lane_name(key, view),
            "key": key,
            "title": lane.name,
            "total": total,
            "cells": data.worst_cells(found, lane),
        }
        for key, lane, total in zip(found.keys, found.lanes, found.totals, strict=True)
    ]


def _charts(
    console: Services,
    who: Caller,
    keys: list[tuple[str, str]],
    changed: dict[tuple[str, str], Any],
    span: tuple[int, int],
) -> list[dict[str, Any]]:
    found = drawn.marks(console, who, keys, span)
    charts = []
    for key, marks in found.items():
        figure = values_over_time(
            [],
            [],
            marks=marks,
            spans=[each for each in changed.get(key, ()) if span[0] <= each.begin < span[1]],
            since=span[0],
            until=span[1],
        )
        # Scores of anomalies lie close to 1: from the least of them on, they can be told apart.
        least = min((mark.value for mark in marks), default=0.0)
        ends = [max(0.0, least - 0.08 * (1.02 - least)), 1.02]
        figure.update_layout(height=170, yaxis_range=ends, margin={"b": 30, "l": 44})
        charts.append(
            {
                "kind": key[0],
                "profile_id": key[1],
                "path": profile_path(*key),
                "figure": for_page(figure),
                "label": f"Anomalies of {key[1]}: {len(marks)}",
            }
        )
    return charts


def _anomalies_link(asked: Asked, span: tuple[int, int], view: str) -> str:
    """The same on the page of anomalies, as far as that page can say it."""
    query: list[tuple[str, Any]] = [("since", rfc3339(span[0])), ("until", rfc3339(span[1]))]
    if asked.hidden:
        query += [("severity", name) for name in asked.shown]
    if asked.lane and len(asked.lane) == 1 and view == "profile":
        kind, profile_id = data.lane_key(asked.lane[0])
        query += [("kind", kind), ("profile_id", profile_id)]
    elif asked.kind:
        query.append(("kind", asked.kind))
    return f"{PREFIX}/anomalies?{urlencode([*query, ('suppressed', 'false')])}"
