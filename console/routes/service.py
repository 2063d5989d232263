"""The service itself: what it is, and whether it works."""

from __future__ import annotations

from importlib.metadata import version
from time import monotonic
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from console.answers import json_answer
from console.auth.callers import Root
from console.services import Services

router = APIRouter(tags=["service"])
VERSION = version("telltale")
WRITE_SECONDS = 60.0
UNWELL: dict[int | str, dict[str, Any]] = {
    503: {"description": "Something does not work.", "content": {"application/json": {}}}
}


@router.get("/")
def root(request: Request, console: Root) -> Response:
    """What this is, and where to go on; a browser goes to the pages."""
    if "ui" in console.settings.parts and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/ui/", 307, {"Vary": "Accept"})
    links = {"health": "/health", "openapi": "/openapi.json", "api": "/api/v1"}
    if console.settings.console_environment == "development":
        links |= {"docs": "/docs", "redoc": "/redoc"}
    body = {"service": "telltale console", "version": VERSION, "links": links}
    if console.open:
        body["warning"] = "without a secret and users, anyone on this machine may do anything"
    return json_answer(body)


@router.get("/health", responses=UNWELL)
def health(console: Root) -> Response:
    """Whether it works, with each check."""
    checks = _checks(console)
    wrong = any(why is not None for why in checks.values())
    body = {
        "status": "unavailable" if wrong else "ok",
        "version": VERSION,
        "environment": console.settings.console_environment,
        "uptime_seconds": round(monotonic() - console.began, 3),
        "checks": {name: why or "ok" for name, why in checks.items()},
    }
    return json_answer(body, 503 if wrong else 200)


@router.get("/health/live", responses=UNWELL)
def live(console: Root) -> Response:
    """Whether the process is to be left alone; 503 asks for a restart."""
    return _said({"console": console.follow.says.fatal})


@router.get("/health/ready", responses=UNWELL)
def ready(console: Root) -> Response:
    """Whether it can take requests."""
    return _said(_checks(console))


def _said(checks: dict[str, str | None]) -> Response:
    wrong = any(checks.values())
    body: dict[str, Any] = {
        "status": "unavailable" if wrong else "ok",
        "checks": {name: why or "ok" for name, why in checks.items()},
    }
    return json_answer(body, 503 if wrong else 200)


def _checks(console: Services) -> dict[str, str | None]:
    says = console.follow.says
    behind = monotonic() - says.written_at
    projection = says.fatal or says.projection
    if projection is None and behind > WRITE_SECONDS:
        projection = f"nothing was written for {behind:.0f} s"
    return {"kafka": says.kafka, "store": says.store or _store(console), "projection": projection}


def _store(console: Services) -> str | None:
    try:
        with console.database.read() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError:
        return "the store does not answer"
    return None
