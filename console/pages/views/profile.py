"""A profile's page: its values and versions over time, why it alarms, and what can be done."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from console.answers import Word
from console.auth.callers import Console, KindName, PathId, needs
from console.auth.permissions import LABEL_WRITE, MODEL_READ, MODEL_WRITE, Caller
from console.figures import contributions, for_page, values_over_time
from console.lanes.routes import stretch
from console.live.state import now_ms
from console.pages import profile as data
from console.pages.explorer import LASTS
from console.pages.rendering import PREFIX, profile_path, render
from console.routes.profiles import found as find

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
MOST_FEATURES = 100


@router.get("/profiles/{kind}/{profile_id}")
def profile(
    request: Request,
    console: Console,
    who: Reader,
    kind: KindName,
    profile_id: PathId,
    last: Annotated[Literal["1h", "6h", "24h", "7d", "30d"], Query()] = "24h",
    since: Annotated[Word, Query()] = "",
    until: Annotated[Word, Query()] = "",
    feature: Annotated[Word, Query()] = "",
) -> Response:
    """The page; the chart's time and its feature are in its address."""
    states = find(console, who, kind, profile_id)
    state = max(states, key=lambda each: each.updated_at)
    now = now_ms()
    fixed = bool(since and until)
    span = stretch(since, until) if fixed else (now - LASTS[last], now)
    verdicts = data.verdicts(console, kind, profile_id, span)
    happened = data.events(console, kind, profile_id, span[0])
    trained = data.versions(console, kind, profile_id)
    series = data.series(verdicts, feature)
    spans = data.spans(state, happened, trained, span, now)
    chart = values_over_time(
        series.times,
        series.values,
        name=series.name,
        band=series.band,
        threshold=series.threshold,
        marks=series.marks,
        spans=spans,
        # Of the normal verdicts between them, the store holds a few.
        joined=False,
        since=span[0],
        until=span[1],
    )
    in_force = next((each for each in trained if each["in_force"]), None)
    known = data.features(verdicts, in_force["features"] if in_force else [])
    anomalies = [each for each in reversed(verdicts) if each["anomaly"]]
    return render(
        request,
        "profile.html",
        who,
        kind=kind,
        profile_id=profile_id,
        own_path=profile_path(kind, profile_id),
        profile=state,
        partitions=[each.partition for each in states],
        suppressed=state.is_suppressed(now),
        shift=data.shift_of(happened, verdicts),
        last=last,
        lasts=list(LASTS),
        fixed=fixed,
        since=since,
        until=until,
        feature=feature,
        chart=for_page(chart),
        series=series,
        span_kinds=sorted({span.kind for span in spans}),
        features=known[:MOST_FEATURES],
        many_features=len(known),
        reasons=_shares(known),
        rows=anomalies[: data.ROWS],
        many=len(anomalies),
        cut=len(verdicts) >= data.MOST,
        versions=trained,
        in_force=in_force,
        events=happened[: data.EVENTS],
        can_label=LABEL_WRITE in who.permissions,
        can_act=MODEL_WRITE in who.permissions,
    )


def _shares(known: list[dict[str, Any]]) -> Any:
    """The features with a part in the anomalies, as a figure for the page; None without any."""
    parts = [each for each in known if each["share"] > 0][:8]
    if not parts:
        return None
    return for_page(
        contributions([each["feature"] for each in parts], [each["share"] for each in parts])
    )
