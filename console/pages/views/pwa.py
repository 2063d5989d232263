"""What makes the pages installable: manifest, service worker, the page for no connection."""

from __future__ import annotations

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.pages.rendering import PREFIX, render
from console.pages.static_files import asset, send

router = APIRouter(prefix=PREFIX, include_in_schema=False)


@router.get("/manifest.webmanifest")
def manifest() -> Response:
    """The manifest."""
    icon = {"src": asset("icon.svg"), "sizes": "any", "type": "image/svg+xml"}
    body = {
        "id": f"{PREFIX}/",
        "name": "Telltale",
        "short_name": "Telltale",
        "description": "Profiles, anomalies and models of a Kafka stream.",
        "start_url": f"{PREFIX}/overview",
        "scope": f"{PREFIX}/",
        "display": "standalone",
        "background_color": "#f5f7fa",
        "theme_color": "#0b4f9e",
        "icons": [icon | {"purpose": "any"}, icon | {"purpose": "maskable"}],
    }
    headers = {"Cache-Control": "no-cache"}
    return Response(orjson.dumps(body), headers=headers, media_type="application/manifest+json")


@router.get("/sw.js")
def worker(request: Request) -> Response:
    """The service worker; under this path, so that its scope is all pages."""
    return send(request, "sw.js", "no-cache")


@router.get("/offline")
def offline(request: Request) -> Response:
    """What is shown if the console cannot be reached."""
    return render(request, "offline.html", None)
