"""What the first request of each page would wait for: routes, templates, lanes, charts."""

from __future__ import annotations

from fastapi import FastAPI

from console.figures import Lane, anomalies_over_time, for_page, swim_lanes, values_over_time
from console.live.state import now_ms
from console.pages.explorer import LASTS
from console.pages.rendering import environment
from console.services import Services


def warm_routes(app: FastAPI) -> None:
    """Have FastAPI read the signatures of all endpoints: it does so at the first match."""
    path = "/no-route-has-this-path"
    scope = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(scope)


def warm_pages() -> None:
    """Compile the templates, and draw a figure of each sort, which imports what draws it."""
    for name in environment.list_templates():
        environment.get_template(name)
    lane = Lane("warm", ["low"], [0.5], [1])
    for_page(swim_lanes([0], 60_000, lane, [lane]))
    for_page(anomalies_over_time([0], 60_000, {"low": [1]}))
    for_page(values_over_time([0], [1.0]))


def warm_lanes(console: Services) -> None:
    """Have the buckets of the latest day in memory: 300,000 take about a second to read."""
    now = now_ms()
    console.state.lanes.rows(console.database, now - LASTS["24h"], now)
