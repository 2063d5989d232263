"""Endpoints of standing monitors and their alerts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from console.answers import Limit, Word, json_answer
from console.auth.callers import Console, needs
from console.auth.permissions import ANALYSIS_CREATE, Caller
from console.governance import monitors
from console.governance.access import forbidden, may_see, model_of
from console.governance.requests import MonitorRequest
from console.problems import not_found

router = APIRouter(prefix="/api/v1/monitoring", tags=["governance"])
Creator = Annotated[Caller, Depends(needs(ANALYSIS_CREATE))]


@router.get("/monitors")
def list_monitors(console: Console, who: Creator) -> Response:
    """Standing monitors, the newest first."""
    return json_answer({"items": [monitors.shown(row) for row in monitors.all_of(console, who)]})


@router.post("/monitors", status_code=201)
def add_monitor(request: Request, console: Console, who: Creator, body: MonitorRequest) -> Response:
    """Have a comparison of periods made every hour or day; its first run is at once."""
    ref = model_of(console, who, body.model_id)
    row = monitors.add(console, who, body, ref)
    console.note(who, "monitor.create", row["id"], "done", request)
    console.reports_asked.set()
    return json_answer(monitors.shown(row), 201)


@router.get("/monitors/{monitor_id}")
def get_monitor(console: Console, who: Creator, monitor_id: Word) -> Response:
    """A standing monitor."""
    row = monitors.find(console, monitor_id)
    if row is None:
        raise not_found("there is no such monitor")
    if not may_see(who, row):
        raise forbidden()
    return json_answer(monitors.shown(row))


@router.delete("/monitors/{monitor_id}")
def delete_monitor(request: Request, console: Console, who: Creator, monitor_id: Word) -> Response:
    """Delete a standing monitor and its alerts."""
    row = monitors.find(console, monitor_id)
    if row is None:
        raise not_found("there is no such monitor")
    if not may_see(who, row):
        raise forbidden()
    monitors.drop(console, monitor_id)
    console.note(who, "monitor.delete", monitor_id, "done", request)
    return json_answer({"message": "Monitor deleted successfully"})


@router.get("/alerts")
def list_alerts(
    console: Console,
    who: Creator,
    monitor_id: Annotated[Word | None, Query()] = None,
    is_open: Annotated[bool | None, Query(alias="open")] = None,
    limit: Limit = 50,
) -> Response:
    """Alerts of standing monitors, the newest first; `open=true` for those not cleared."""
    return json_answer({"items": monitors.alerts_of(console, who, monitor_id, is_open, limit)})
