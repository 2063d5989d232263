"""Statistics, recent events, the dashboard and the status: from memory."""

from __future__ import annotations

from dataclasses import asdict
from time import monotonic
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from console.answers import json_answer, plain, rfc3339
from console.auth.callers import Console, needs, needs_all
from console.auth.permissions import ADMIN, MODEL_READ, Caller
from console.curation import model_metrics
from console.live.counts import HOUR_MS, HOURS_KEPT
from console.live.recent import Event
from console.live.state import now_ms
from console.live.statistics import hourly, outcomes, statistics
from console.services import Services
from console.store import tables as t
from models.features import KINDS

router = APIRouter(tags=["statistics"])
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
Admin = Annotated[Caller, Depends(needs_all(ADMIN))]
DAY_MS = 86_400_000
MOST_ALERTS = 10_000


@router.get("/api/v1/statistics")
@router.get("/statistics")
async def get_statistics(console: Console, who: Reader) -> Response:
    """Counts of everything since the projection began."""
    return json_answer(statistics(console.state, who, console.kafka.alert_budget))


@router.get("/api/v1/statistics/hourly")
async def get_hourly(
    console: Console, who: Reader, hours: Annotated[int, Query(ge=1, le=HOURS_KEPT)] = 24
) -> Response:
    """A row an hour and kind, the newest first."""
    return json_answer({"items": hourly(console.state, who, hours)})


@router.get("/api/v1/events/recent")
@router.get("/events/recent")
async def get_recent(
    console: Console, who: Reader, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> Response:
    """The newest events, from memory: anomalies, drawn normal verdicts, lifecycle."""
    return json_answer({"items": _recent(console, who, limit)})


@router.delete("/api/v1/events/cache")
@router.delete("/events/cache")
def clear_recent(console: Console, who: Admin) -> Response:
    """Empty the memory of recent events; Kafka and the store keep them."""
    cleared = console.state.recent.clear()
    console.note(who, "events.clear", str(cleared), "done")
    return json_answer({"cleared": cleared})


@router.get("/api/v1/dashboard")
@router.get("/dashboard")
def get_dashboard(console: Console, who: Reader) -> Response:
    """What a page of an overview shows."""
    body: dict[str, Any] = {
        "statistics": statistics(console.state, who, console.kafka.alert_budget),
        "hourly": hourly(console.state, who, 24),
        "recent": _recent(console, who, 10),
        "top_profiles": _top(console, who),
        "models": outcomes(console.state, who),
        "drift": {
            "profiles": sum(
                1
                for p in console.state.profiles.all()
                if p.drifting_since is not None and who.sees(p.profile_id)
            )
        },
        "model_metrics": model_metrics.newest(console, who, 10),
        "system": _system(console) | {"open_alerts": _open_alerts(console, who)},
    }
    return json_answer(body)


@router.get("/api/v1/status")
def get_status(console: Console, who: Reader) -> Response:
    """The whole: broker, store, how far the projection is, and alerts that nobody has labelled."""
    more = {"open_alerts": _open_alerts(console, who), "permissions": sorted(who.permissions)}
    return json_answer(_system(console) | more)


@router.get("/api/v1/kinds")
async def get_kinds(console: Console, _: Reader) -> Response:
    """Kinds of telemetry with what is in force for each."""
    items = [
        {
            "kind": name,
            "summary": kind.telemetry.summary,
            "features": None if kind.features is None else [asdict(each) for each in kind.features],
            "detector": console.kafka.detector_for(name, kind.detector),
            "cold_start_samples": console.kafka.cold_start(name),
            "alert_budget": console.kafka.alert_budget,
        }
        for name, kind in KINDS.items()
    ]
    return json_answer({"items": items})


def shown(console: Services, event: Event) -> dict[str, Any]:
    """An event as clients are told it."""
    return {"id": console.state.recent.event_id(event), "event": event.name, "data": event.body}


def _recent(console: Services, who: Caller, limit: int) -> list[dict[str, Any]]:
    newest = console.state.recent.newest()
    own = (event for event in newest if who.sees(event.profile_id))
    return [shown(console, event) for event, _ in zip(own, range(limit), strict=False)]


def _top(console: Services, who: Caller) -> list[dict[str, Any]]:
    table = t.verdicts.c
    query = (
        select(table.kind, table.profile_id, func.count().label("anomalies"))
        .where(
            table.anomaly,
            table.scored_at >= now_ms() - DAY_MS,
            who.own(table.profile_id),
        )
        .group_by(table.kind, table.profile_id)
        .order_by(func.count().desc(), table.profile_id)
        .limit(10)
    )
    with console.database.read() as connection:
        return [plain(row) for row in connection.execute(query).mappings()]


def _open_alerts(console: Services, who: Caller) -> int | None:
    """Anomalies of the latest hour, not suppressed, that have no label; None without a store.

    Both observed and judged within it: what is late is history. Counted up to ``MOST_ALERTS``.
    """
    c, since = t.verdicts.c, now_ms() - HOUR_MS
    open_ = (
        select(c.verdict_id)
        .outerjoin(t.labels, t.labels.c.verdict_id == c.verdict_id)
        .where(c.scored_at >= since, c.observed_at >= since, c.anomaly, ~c.suppressed)
        .where(t.labels.c.verdict_id.is_(None), who.own(c.profile_id))
        .limit(MOST_ALERTS)
    )
    try:
        with console.database.read() as connection:
            query = select(func.count()).select_from(open_.subquery())
            return int(connection.execute(query).scalar_one())
    except DBAPIError:
        return None


def _system(console: Services) -> dict[str, Any]:
    says = console.follow.says
    return {
        "kafka": says.kafka or "ok",
        "store": says.store or "ok",
        "projection": {
            "state": says.fatal or says.projection or "ok",
            "seconds_since_written": round(monotonic() - says.written_at, 3),
            "lag": console.state.lag,
        },
        "roles": {name: rfc3339(at) for name, at in sorted(console.state.roles.items())},
        "clients": console.state.recent.followers,
    }
